"""Generate one shard of one model's answers."""

from pathlib import Path

from evalpack.generate import GenerateJob
from evalpack.script import run


def generate(output: str, slug: str, index: int, of: int, settings: str) -> None:
    """Generate the shard `output` (`<run>/generations/<slug>/<i>-of-<n>.parquet`)."""
    GenerateJob(Path(output).parents[2], slug, index, of, settings).run()


if __name__ == "__main__":
    run(
        lambda: generate(
            output=snakemake.output[0],  # noqa: F821
            slug=snakemake.wildcards.slug,  # noqa: F821
            index=int(snakemake.wildcards.i),  # noqa: F821
            of=int(snakemake.wildcards.n),  # noqa: F821
            settings=snakemake.params.settings,  # noqa: F821
        ),
        log=snakemake.log[0],  # noqa: F821
    )
