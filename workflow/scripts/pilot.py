"""Generate a few answers of a model, and write what they measured."""

from pathlib import Path

from evalpack.pilot import pilot
from evalpack.script import run

if __name__ == "__main__":
    run(
        lambda: pilot(
            Path(snakemake.output[0]),  # noqa: F821
            slug=snakemake.wildcards.slug,  # noqa: F821
            settings=snakemake.params.settings,  # noqa: F821
            answers=snakemake.params.answers,  # noqa: F821
        ),
        log=snakemake.log[0],  # noqa: F821
    )
