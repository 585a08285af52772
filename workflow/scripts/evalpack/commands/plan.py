"""`evalpack plan`: what a run would take, before the first GPU is touched."""

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from evalpack import project
from evalpack.build import needed
from evalpack.config import Config
from evalpack.errors import UserError
from evalpack.paths import RunPaths
from evalpack.plan import calibration, store
from evalpack.plan.chart import write_pages
from evalpack.plan.make import make_plan
from evalpack.plan.plan import Plan
from evalpack.plan.report import PlanReport
from evalpack.plan.reporting import report
from evalpack.plan.table import rendered, rendered_history
from evalpack.runlock import alive
from evalpack.samples import prepare, read_sidecar, sidecar_key


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_config_arguments(parser)
    parser.add_argument(
        "--calibrated", action="store_true", help="correct times and lengths by finished jobs"
    )
    parser.add_argument(
        "--no-solver", action="store_true", help="list scheduling only, as in a dry run"
    )
    parser.add_argument("--json", action="store_true", help="the plan as JSON, for scripts")


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of every command that plans: which configuration, how many GPUs."""
    parser.add_argument(
        "--configfile",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="merged over config/config.yaml, as with snakemake",
    )
    parser.add_argument(
        "--gpus",
        type=int,
        metavar="N",
        help="as `snakemake --resources gpu=N`: goes over hardware.gpus",
    )


def run(arguments: argparse.Namespace) -> None:
    """Plan, keep the plan for the workflow, draw it and print it."""
    settings = project.load(arguments.configfile)
    paths = RunPaths(settings.run_dir)
    console = Console(highlight=False, stderr=arguments.json)
    with console.status("counting samples"):
        count_samples(settings, paths)
    needs = needed(settings, arguments.gpus)
    planning = settings.raw["planning"]
    models = [*project.known_models(), *(ask.model for ask in needs.asks)]
    calibration.gather(settings.results)  # a run that was killed has not done so
    history = calibration.load(settings.results, needs.pool.device, needs.pool.storage, models)
    used = history if arguments.calibrated else calibration.UNCALIBRATED
    if arguments.calibrated and not history.measurements:
        raise UserError(
            f"nothing was measured on {needs.pool.device.name} yet; run `evalpack pilot`, or"
            " plan without --calibrated"
        )
    with console.status("packing"):
        plan = make_plan(
            needs.asks,
            needs.pool,
            planning,
            keep=store.kept(paths),
            calibration=used,
            solver_seconds=0 if arguments.no_solver else planning["solver_seconds"],
        )
    store.save(paths.plans, store.inputs_digest(needs.asks, needs.pool, planning), plan)
    made = report(settings.run, plan, needs, settings.raw["hardware"], used, history)
    write_pages(paths.planning, made)
    if arguments.json:
        print(json.dumps(_as_json(made, plan), indent=2))
        return
    console.print(rendered(made))
    if (table := rendered_history(made, history)) is not None:
        console.print()
        console.print(table)
        console.print()
    console.print(
        f"Drawn in [bold]{escape(str(paths.planning))}/plan.html[/bold] and plan.svg; the next start"
        " takes this plan."
    )
    if alive(paths.lock):
        console.print(
            "A workflow is working on this run: it goes on with the plan it started with."
        )


def count_samples(settings: Config, paths: RunPaths) -> None:
    """Count the samples to the last row, unless that was done before.

    Raises:
        UserError: if the samples file is wrong; as `prepare` says it.
    """
    wanted = settings.raw["samples"]
    options = {key: wanted[key] for key in ("template", "limit", "columns")}
    path = Path(wanted["path"])
    try:
        key = sidecar_key(path, **options)
    except OSError:
        raise UserError(f"samples.path: there is no {path}") from None
    if read_sidecar(paths.samples_report, key) or read_sidecar(paths.planned_samples, key):
        return
    with tempfile.TemporaryDirectory() as scratch:
        prepare(
            path,
            output=Path(scratch) / "samples.parquet",
            sidecar=paths.planned_samples,
            **options,
        )


def _as_json(made: PlanReport, plan: Plan) -> dict[str, object]:
    totals = {
        "makespan_seconds": made.makespan,
        "gpu_hours": made.gpu_hours,
        "cost": made.cost,
        "currency": made.currency if made.cost is not None else None,
        "busy_share": made.schedule.busy_share,
        "generating_share": made.schedule.generating_share,
        "one_at_a_time_seconds": made.one_at_a_time,
        "phases_seconds": made.phases,
        "lower_bound_seconds": made.lower_bound,
        "gap": made.gap,
        "solved_by": plan.solved_by,
    }
    return {
        "run": made.run,
        "gpu_type": made.gpu_type,
        "gpus": made.gpus,
        "totals": totals,
        "models": [asdict(row) for row in made.rows],
        "jobs": [
            {**asdict(place.job), "begin": place.begin, "end": place.end, "devices": place.devices}
            for place in made.schedule.placed
        ],
        "notes": list(made.notes),
    }
