"""From a job's last token to the first token of the next, on one GPU: warm starts against plain ones.

The same checkpoint with real safetensors, three times under names of its own, job after job; then two
of them with `planning.warm_start: false`. The first handover of the warm run may meet kernels and
files that nothing has used before; so all are told, and their median.
"""

import itertools
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import REAL, Bench
from common import Project, Setting, last_token, phases, prompts, sampling_cost

from evalpack.telemetry.facts import Facts

NAMES = ("first", "second", "third")
_READING = re.compile(r"Loading weights took ([0-9.]+) seconds")


def measure(bench: Bench) -> dict[str, Any]:
    """Warm handovers, then plain starts, of a model on real weights."""
    options = bench.options
    weights, base = bench.weights() or options.smollm2, REAL[0] if bench.real else "smollm2:135m"
    told: dict[str, Any] = {"model": base, "requests": options.greedy}
    for kind, names in (("warm", NAMES), ("plain", NAMES[:2])):
        work = project(
            bench.setting, weights, base, options.greedy, warm=kind == "warm", names=names
        )
        told[kind] = report(work, work.run(1, bench.left, bench.one))
    return told


def project(
    setting: Setting, weights: Path, base: str, requests: int, *, warm: bool, names: Sequence[str]
) -> Project:
    """A lineup of one checkpoint under several names.

    Args:
        setting: where.
        weights: the checkpoint, safetensors and all.
        base: the entry of config/models.yaml that it has the shape of.
        requests: of each job.
        warm: whether jobs fork from a process that has vLLM imported.
        names: of the models.
    """
    models = [{"name": name, "base": base, "path": str(weights)} for name in names]
    return Project(
        setting,
        f"startup-{'warm' if warm else 'plain'}",
        models,
        prompts(requests),
        planning={"warm_start": warm, "shards": 1},
    )


def report(work: Project, outcome: dict[str, Any]) -> dict[str, Any]:
    """The handovers of a run that is over, their median, and what their parts took (seconds)."""
    attempts = [one for one in work.attempts() if any(True for _ in one.spans("generating"))]
    handed = [_handover(work, a, b) for a, b in itertools.pairwise(attempts)]
    known = [one["seconds"] for one in handed if one["seconds"] is not None]
    return {
        "workflow": outcome,
        "jobs": len(attempts),
        "handovers": handed,
        "median_seconds": statistics.median(known) if known else None,
        "first_job": {
            "asked_to_first_token": _since(attempts[0].began, attempts[0].first_token),
            "phases": phases(attempts[0]),
        }
        if attempts
        else None,
        "sampling_cpu_share": sampling_cost(attempts),
    }


def _handover(work: Project, before: Facts, after: Facts) -> dict[str, Any]:
    """One handover: its parts add up to its seconds, up to what overlaps."""
    last = last_token(before)
    generating = next(begin for begin, _ in after.spans("generating"))
    # A job prepared in advance was asked to start after the one before it had given its GPU back.
    released = before.released or before.known_until
    taken = after.taken or after.began
    reading = _READING.findall(work.log(after.job.model))
    return {
        "from": before.job.model,
        "to": after.job.model,
        "seconds": _since(last, after.first_token),
        "last_token_to_generating": generating - last,
        "parts": {
            "ending": released - last,
            "gpu_without_a_job": taken - released,
            "loading": generating - taken,
            "first_token": _since(generating, after.first_token),
        },
        "weights_reading": sum(map(float, reading)) if reading else None,
        "phases": phases(after),
    }


def _since(begin: float, end: float | None) -> float | None:
    return None if end is None else end - begin
