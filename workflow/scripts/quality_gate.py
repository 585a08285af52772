"""Fail the run, naming models and causes, if a model answered too little."""

from pathlib import Path

from evalpack.quality import check
from evalpack.script import run

if __name__ == "__main__":
    run(
        lambda: check(
            metadata=Path(snakemake.input.metadata),  # noqa: F821
            output=Path(snakemake.output[0]),  # noqa: F821
            min_success_rate=snakemake.params.min_success_rate,  # noqa: F821
        ),
        log=snakemake.log[0],  # noqa: F821
    )
