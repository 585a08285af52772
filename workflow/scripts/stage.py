"""Fetch one model's weights where they are missing, and write down what they are."""

from pathlib import Path

from evalpack import weights
from evalpack.jobs import RunSpec
from evalpack.paths import RunPaths
from evalpack.script import run


def stage(output: str) -> None:
    """Write `<run>/weights/<slug>.json`."""
    path = Path(output)
    paths = RunPaths(path.parents[1])
    weights.stage(RunSpec.load(paths.plan).job(path.stem).model, path)


if __name__ == "__main__":
    run(lambda: stage(snakemake.output[0]), log=snakemake.log[0])  # noqa: F821
