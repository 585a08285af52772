"""Fail `snakemake stage`, naming every model whose weights could not be had."""

from pathlib import Path

from evalpack import weights
from evalpack.errors import UserError
from evalpack.script import run


def check(notes: list[Path]) -> None:
    """Raise if staging failed for a model."""
    if reasons := weights.failures(notes):
        raise UserError("; ".join(reasons))


if __name__ == "__main__":
    run(
        lambda: check([Path(path) for path in snakemake.input.weights]),  # noqa: F821
        log=snakemake.log[0],  # noqa: F821
    )
