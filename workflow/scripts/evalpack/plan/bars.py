"""The bars of a plan's chart: who runs where and when, in which colour, and what is told of it."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from evalpack.plan.report import GB, ModelRow, PlanReport, duration
from evalpack.plan.schedule import Placed

PALETTE = (
    "#76aaf5", "#f5ae29", "#56c9ad", "#b874ad", "#7de2f5",
    "#e67663", "#e7d978", "#787ce6", "#9c9528", "#c96078",
)  # fmt: skip
"""Told apart with protanopia and deuteranopia; dark text is readable on each, and on its tint."""


def colours(report: PlanReport) -> dict[str, str]:
    """A colour for each model: of the least used, one that no bar beside or before it has."""
    colour: dict[str, int] = {}
    used = [0] * len(PALETTE)
    latest: dict[int, str] = {}  # the model that was last on a GPU
    for place in report.schedule.placed:
        name = place.job.model
        if name not in colour:
            near = {device + step for device in place.devices for step in (-1, 0, 1)}
            taken = {colour[latest[device]] for device in near & latest.keys()}
            colour[name] = min(range(len(PALETTE)), key=lambda it: (it in taken, used[it], it))
            used[colour[name]] += 1
        latest.update(dict.fromkeys(place.devices, name))
    return {row.model: PALETTE[colour.get(row.model, 0)] for row in report.rows}


def blocks(report: PlanReport) -> Iterator[dict[str, Any]]:
    """What is drawn: a block for each run of neighbouring GPUs that a job takes.

    `top` and `bottom` are in lanes, `begin`, `warm` (first request) and `end` in `time_unit(report)`.
    """
    rows = {row.model: row for row in report.rows}
    fills = colours(report)
    _, unit = time_unit(report)
    for number, place in enumerate(report.schedule.placed):
        job = place.job
        told = _told(place, rows[job.model], report.gpu_memory)
        for first, last in _runs(place.devices):
            yield {
                "job": number,
                "fill": fills[job.model],
                "begin": round(place.begin / unit, 4),
                "warm": round((place.begin + job.start) / unit, 4),
                "end": round(place.end / unit, 4),
                "top": first,
                "bottom": last + 1,
                "label": job.model if job.shards == 1 else f"{job.model} {job.shard}/{job.shards}",
                "takes": duration(job.seconds),
                **told,
            }


def time_unit(report: PlanReport) -> tuple[str, int]:
    """The unit of the time axis, and its seconds."""
    if report.makespan > 3 * 3600:
        return "hours", 3600
    return ("minutes", 60) if report.makespan > 180 else ("seconds", 1)


def device_list(devices: Sequence[int]) -> str:
    """GPUs as people write them.

    >>> device_list((0, 1, 2, 5))
    '0–2, 5'
    """
    return ", ".join(f"{a}" if a == b else f"{a}–{b}" for a, b in _runs(devices))


def gigabytes(size: float) -> str:
    """Bytes in GB: three digits where they tell something.

    >>> gigabytes(269e6), gigabytes(16.06e9), gigabytes(141e9)
    ('0.27 GB', '16.1 GB', '141 GB')
    """
    value = size / GB
    return (
        f"{value:.2f} GB" if value < 1 else f"{value:.1f} GB" if value < 100 else f"{value:.0f} GB"
    )


def _runs(devices: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each run of neighbours."""
    ordered = sorted(devices)
    cuts = [index for index, (a, b) in enumerate(pairwise(ordered), start=1) if b != a + 1]
    return [(ordered[a], ordered[b - 1]) for a, b in pairwise([0, *cuts, len(ordered)])]


def _told(place: Placed, row: ModelRow, gpu_memory: int) -> dict[str, str]:
    """What a reader learns of a job by pointing at it, or by ear."""
    job = place.job
    memory = gigabytes(row.weights_each + row.kv_each + row.other_each)
    on = f"GPU{'s' if len(place.devices) > 1 else ''} {device_list(place.devices)}"
    return {
        "model": job.model,
        "shard": f"{job.shard} of {job.shards}",
        "gpus": device_list(place.devices),
        "begins": duration(place.begin),
        "startup": duration(job.start),
        "generates": duration(job.generate),
        "finishes": duration(place.end),
        "weights": "–" if row.weight_bytes is None else gigabytes(row.weight_bytes),
        "batch": str(row.batch),
        "memory": f"{memory} of {gigabytes(gpu_memory)}" if gpu_memory else memory,
        "spoken": f"{job.model}, shard {job.shard} of {job.shards}, {on},"
        f" {duration(place.begin)} to {duration(place.end)}",
    }
