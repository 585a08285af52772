"""`evalpack summary`: the table of a finished run."""

import argparse
from pathlib import Path

from evalpack.errors import UserError
from evalpack.paths import RunPaths


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("run", type=Path, help="folder of the run, such as results/demo")


def run(arguments: argparse.Namespace) -> None:
    """Print the table of a finished run, and its files."""
    from evalpack.summary import print_summary

    metadata = RunPaths(arguments.run).metadata(arguments.run.resolve().name)
    if not metadata.exists():
        raise UserError(f"{arguments.run} holds no finished run; start one with `snakemake`")
    print_summary(metadata)
