"""The ten-model lineup through Snakemake: predicted and measured, and against the three-phase recipe."""

from pathlib import Path
from typing import Any

import recipe
from bench import REAL, Bench
from common import (
    Project,
    Setting,
    dummy,
    generating,
    last_token,
    phases,
    prompts,
    sampling_cost,
)

AIMS = {"busy_share": 0.85, "recipe_times_as_long": 5.0}
"""At least so much of the GPUs' time spent generating, and the recipe so many times as long."""


def measure(bench: Bench) -> dict[str, Any]:
    """Run the lineup on all GPUs."""
    options, real = bench.options, bench.weights()
    work = project(bench.setting, options.models, options.requests, real)
    outcome = work.run(options.gpus, bench.left)
    told = report(work, outcome, options.gpus)
    weights = "random, loaded from nowhere"
    if real is not None:
        weights += f"; those of {' and '.join(REAL)} read from safetensors on disk"
    told |= {"requests": options.requests, "weights": weights, "aims": AIMS}
    told["handovers"] = handovers(work, real is not None)
    sampled = bench.found.get("recipe", {}).get("measured")
    if sampled:
        three = recipe.extrapolate(options.models, options.requests, options.gpus, sampled)
        ratio = three["seconds"] / told["measured"]["makespan_seconds"]
        told["recipe"] = {"extrapolated": three, "times_as_long": ratio}
    return told


def project(setting: Setting, names: list[str], requests: int, real: Path | None) -> Project:
    """The lineup on made-up weights; with `real`, two of its models load that checkpoint."""
    models: list[dict[str, Any]] = []
    for name in names:
        if real is not None and name in REAL:
            models.append({"name": name, "path": str(real)})
        else:
            models.append(dummy(setting, name))
    return Project(setting, "lineup", models, prompts(requests))


def report(work: Project, outcome: dict[str, Any], gpus: int) -> dict[str, Any]:
    """Predicted and measured, job by job and in all."""
    plan, attempts = work.plan(), work.attempts()
    jobs = []
    for facts in attempts:
        said = plan["models"][facts.job.slug]
        jobs.append(
            {
                "job": f"{facts.job.model} {facts.job.name}",
                "gpus": facts.job.gpus,
                "predicted": said["predicted"],
                "phases": phases(facts),
                "tokens_per_second": facts.output_tokens / max(generating(facts), 1e-9),
                "answers": facts.answers,
                "engine_args": {
                    k: v for k, v in said["engine_args"].items() if k != "compilation_config"
                },
                "mode": _mode(said["engine_args"]),
            }
        )
    summary = work.summary()
    keep = ("makespan_seconds", "busy_share", "idle_gpu_seconds", "unleased_gpu_seconds")
    more = ("joules", "joules_per_1000_answers", "gpu_hours", "answers", "speed_up", "seconds")
    return {
        "gpus": gpus,
        "workflow": outcome,
        "predicted": plan["plan"],
        "measured": {key: summary["total"][key] for key in (*keep, *more)},
        "gpu_seconds": summary["total"]["gpu_seconds"],
        "generating_power_watts": summary["total"]["generating_power_watts"],
        "generating_utilization_percent": summary["total"]["generating_utilization_percent"],
        "sampling_cpu_share": sampling_cost(attempts),
        "jobs": jobs,
    }


def handovers(work: Project, real: bool) -> list[dict[str, Any]]:
    """From a job's last token to the first token of the next job on the same GPU."""
    found = []
    attempts = work.attempts()
    for index, after in enumerate(attempts):
        mine = {device.uuid for device in after.devices}
        before = [a for a in attempts[:index] if mine & {device.uuid for device in a.devices}]
        if not before or after.first_token is None:
            continue
        # A wide job waits for the last of its GPUs; what the others idled is packing, not start-up.
        last = max(before, key=last_token)
        found.append(
            {
                "from": last.job.model,
                "to": after.job.model,
                "gpus": after.job.gpus,
                "weights": "real" if real and after.job.model in REAL else "made up",
                "seconds": after.first_token - last_token(last),
                "ending_to_asked": after.began - last_token(last),
                "phases": phases(after),
            }
        )
    return found


def _mode(engine_args: dict[str, Any]) -> str:
    if engine_args.get("enforce_eager"):
        return "eager"
    return "graphs" if engine_args.get("compilation_config", {}).get("mode") == 0 else "compiled"
