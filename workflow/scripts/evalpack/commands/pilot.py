"""`evalpack pilot`: a few answers of each model first, for what they tell of lengths and speed."""

import argparse
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from evalpack import project
from evalpack.build import needed
from evalpack.commands.plan import add_config_arguments
from evalpack.errors import UserError
from evalpack.models import Model
from evalpack.paths import RunPaths
from evalpack.plan import calibration
from evalpack.plan.calibration import Calibration
from evalpack.plan.pool import Pool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "models",
        nargs="*",
        metavar="MODEL",
        help="names from the config; default: those of which nothing was measured on these GPUs",
    )
    add_config_arguments(parser)
    parser.add_argument(
        "--workflow-profile", metavar="FOLDER", help="as with snakemake; default: profiles/default"
    )


def run(arguments: argparse.Namespace) -> None:
    """Run the pilots through Snakemake, packed onto the GPUs like all jobs."""
    settings = project.load(arguments.configfile)
    needs = needed(settings, arguments.gpus)
    local = {ask.model.name: ask.model for ask in needs.asks if ask.model.backend != "openai"}
    if not local:
        raise UserError("all models are on servers elsewhere: a pilot would measure nothing here")
    calibration.gather(settings.results)
    history = _history(settings.results, needs.pool, local.values())
    unknown = [name for name in arguments.models if name not in local]
    if unknown:
        raise UserError(
            f"{', '.join(unknown)}: not among the models of this configuration that run here;"
            f" there are {', '.join(local)}"
        )
    chosen = arguments.models or [name for name, model in local.items() if not history.of(model)]
    console = Console(highlight=False)
    if not chosen:
        console.print("Every model was measured on these GPUs before; name those to pilot anew.")
        return
    paths = RunPaths(settings.run_dir)
    command = [sys.executable, "-m", "snakemake"]
    if arguments.configfile:
        command += ["--configfile", *map(str, arguments.configfile)]
    if arguments.gpus is not None:
        command += ["--resources", f"gpu={arguments.gpus}"]
    if arguments.workflow_profile is not None:
        command += ["--workflow-profile", arguments.workflow_profile]
    targets = [str(paths.pilot(local[name].slug)) for name in chosen]
    command += ["--forcerun", *targets]  # also those that were piloted on other GPUs
    console.print(f"Pilot of {escape(', '.join(chosen))}")
    if _run([*command, "--", *targets]):
        raise UserError(
            "not all pilots could run (above is why); the same command tries those again"
        )
    now = _history(settings.results, needs.pool, local.values())
    same = [name for name in chosen if now.of(local[name]) == history.of(local[name])]
    if same:
        console.print(
            f"Nothing new was measured of {escape(', '.join(same))}, most often because every answer is in"
            " the journal."
        )
    if len(same) < len(chosen):
        console.print("Measured. `evalpack plan --calibrated` plans with it.")


def _run(command: list[str]) -> int:
    """Run Snakemake to its end, also after Ctrl-C: it hears that itself, and has jobs to stop."""
    with subprocess.Popen(command) as snakemake:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            return snakemake.wait()
        finally:
            signal.signal(signal.SIGINT, before)


def _history(results: Path, pool: Pool, models: Iterable[Model]) -> Calibration:
    return calibration.load(results, pool.device, pool.storage, [*project.known_models(), *models])
