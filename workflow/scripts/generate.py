"""Generate one shard of one model's answers."""

from pathlib import Path

from evalpack.warm.client import run

if __name__ == "__main__":
    run(
        "generate",
        log=snakemake.log[0],  # noqa: F821
        run=str(Path(snakemake.output[0]).parents[2]),  # noqa: F821
        slug=snakemake.wildcards.slug,  # noqa: F821
        index=int(snakemake.wildcards.i),  # noqa: F821
        of=int(snakemake.wildcards.n),  # noqa: F821
        params=snakemake.params.settings,  # noqa: F821
    )
