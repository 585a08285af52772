"""Generate a few answers of a model, and write what they measured."""

from pathlib import Path

from evalpack.warm.client import run

if __name__ == "__main__":
    run(
        "pilot",
        log=snakemake.log[0],  # noqa: F821
        run=str(Path(snakemake.output[0]).parents[1]),  # noqa: F821
        slug=snakemake.wildcards.slug,  # noqa: F821
        params=snakemake.params.settings,  # noqa: F821
        answers=snakemake.params.answers,  # noqa: F821
    )
