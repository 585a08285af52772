"""Collect all models' records into the judge-ready files."""

from pathlib import Path

from evalpack.collect import collect
from evalpack.script import run

if __name__ == "__main__":
    run(
        lambda: collect(
            run_dir=Path(snakemake.output.responses).parents[1],  # noqa: F821
            responses=[Path(path) for path in snakemake.input.responses],  # noqa: F821
            rubric=Path(snakemake.input.rubric),  # noqa: F821
        ),
        log=snakemake.log[0],  # noqa: F821
    )
