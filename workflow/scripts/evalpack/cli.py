"""The `evalpack` command: questions about a run, answered by the same library."""

import argparse
import sys
from pathlib import Path

import evalpack
from evalpack.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="evalpack", description=evalpack.__doc__)
    parser.add_argument("--version", action="version", version=evalpack.__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    summary = commands.add_parser("summary", help="the table of a finished run, and its files")
    summary.add_argument("run", type=Path, help="folder of the run, such as results/demo")
    chosen = parser.parse_args(arguments)
    try:
        _summary(chosen.run)
    except UserError as error:
        print(f"evalpack: {error}", file=sys.stderr)
        return 1
    return 0


def _summary(run: Path) -> None:
    from evalpack.paths import RunPaths
    from evalpack.summary import print_summary

    metadata = RunPaths(run).metadata(run.resolve().name)
    if not metadata.exists():
        raise UserError(f"{run} holds no finished run; start one with `snakemake`")
    print_summary(metadata)
