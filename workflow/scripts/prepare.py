"""Read the samples file, in any form, and write samples.parquet and the report on it."""

from pathlib import Path

from evalpack.samples import prepare
from evalpack.script import run

if __name__ == "__main__":
    run(
        lambda: prepare(
            Path(snakemake.input.samples),  # noqa: F821
            output=Path(snakemake.output.samples),  # noqa: F821
            sidecar=Path(snakemake.output.report),  # noqa: F821
            template=snakemake.params.template,  # noqa: F821
            limit=snakemake.params.limit,  # noqa: F821
            columns=snakemake.params.columns,  # noqa: F821
        ),
        log=snakemake.log[0],  # noqa: F821
    )
