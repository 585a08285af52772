"""The `evalpack` command: questions about a run, answered by the same library."""

import argparse
import os
import sys

import evalpack
from evalpack.commands import add, pilot, plan, summary
from evalpack.errors import UserError

_DESCRIPTION = (
    "Evaluate many language models on one sample set; `snakemake` runs, these commands ask."
)
_COMMANDS = {
    "add": (add, "describe a checkpoint in config/models.yaml, from its own files"),
    "plan": (plan, "how long a run will take, on which GPUs, in what order; keeps that plan"),
    "pilot": (pilot, "64 answers of each new model first, for their lengths and its speed"),
    "summary": (summary, "the table of a finished run, and its files"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="evalpack", description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=evalpack.__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (module, text) in _COMMANDS.items():
        module.add_arguments(commands.add_parser(name, help=text, description=module.__doc__))
    chosen = parser.parse_args(arguments)
    try:
        _COMMANDS[chosen.command][0].run(chosen)
        sys.stdout.flush()
    except UserError as error:
        print(f"evalpack: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # disk full, read-only, no permission: for the user to mend
        print(f"evalpack: {error.filename or 'output'}: {error.strerror}", file=sys.stderr)
        return 1
    return 0
