"""Join one model's shards to their samples."""

from pathlib import Path

from evalpack.merge import merge
from evalpack.script import run

if __name__ == "__main__":
    run(
        lambda: merge(
            run_dir=Path(snakemake.output[0]).parents[1],  # noqa: F821
            slug=snakemake.wildcards.slug,  # noqa: F821
            shard_paths=[Path(path) for path in snakemake.input.shards],  # noqa: F821
            params=snakemake.params.settings,  # noqa: F821
        ),
        log=snakemake.log[0],  # noqa: F821
    )
