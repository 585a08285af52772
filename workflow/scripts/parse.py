"""Read choice and score out of one model's answers."""

from pathlib import Path

from evalpack.parsing import parse
from evalpack.script import run

if __name__ == "__main__":
    run(
        lambda: parse(
            merged=Path(snakemake.input[0]),  # noqa: F821
            responses=Path(snakemake.output[0]),  # noqa: F821
            parser=snakemake.params.parser,  # noqa: F821
        ),
        log=snakemake.log[0],  # noqa: F821
    )
