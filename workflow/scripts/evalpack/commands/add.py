"""`evalpack add`: the models.yaml entry of a checkpoint, read from its own files."""

import argparse
from pathlib import Path

from evalpack.checkpoint import add_model
from evalpack.project import MODELS_YAML


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "source", help="a local folder, or a repository on the Hugging Face hub (owner/name)"
    )
    parser.add_argument("--name", help="name of the entry; default: from the folder or repository")
    parser.add_argument(
        "--revision", help="branch, tag or commit on the hub; default: its main one"
    )
    parser.add_argument(
        "--to", type=Path, default=MODELS_YAML, metavar="FILE", help=f"default: {MODELS_YAML}"
    )
    parser.add_argument("--print", action="store_true", help="show the entry and write nothing")


def run(arguments: argparse.Namespace) -> None:
    """Write the entry, and show it."""
    entry = add_model(
        arguments.source,
        name=arguments.name,
        revision=arguments.revision,
        models_yaml=arguments.to,
        write=not arguments.print,
    )
    print(entry, end="" if entry.endswith("\n") else "\n")
    if not arguments.print:
        print(f"Added to {arguments.to}.")
