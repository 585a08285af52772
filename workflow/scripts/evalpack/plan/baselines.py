"""What people do without a planner, with the same engines: what a plan is compared with."""

from collections.abc import Mapping, Sequence

from evalpack.plan.options import Option
from evalpack.plan.report import size_label
from evalpack.plan.schedule import Job, simulate

_PHASES = {"small": 1, "medium": 2, "large": 4}
"""GPUs that each model of a phase is given."""

Undivided = Mapping[int, Option]
"""A model's options of one shard, by their GPUs."""


def one_at_a_time(lineup: Sequence[Undivided]) -> float:
    """Seconds for one model after the other, each alone on the fewest GPUs that hold it."""
    return sum(found[min(found)].seconds for found in lineup)


def plain_greedy(lineup: Sequence[Undivided], gpus: int) -> float:
    """Seconds where models start in the order of the config as soon as they fit, undivided."""
    jobs = [_job(index, found[min(found)]) for index, found in enumerate(lineup)]
    return simulate(jobs, gpus).makespan


def phases(lineup: Sequence[Undivided], weight_bytes: Sequence[int | None], gpus: int) -> float:
    """Seconds for three phases: small models on one GPU each, medium on two, large on four.

    Each phase waits for the last job of the one before it. A model that does not fit on what its
    phase gives takes the next size it fits on; models of unknown size are small.
    """
    jobs: dict[str, list[Job]] = {phase: [] for phase in _PHASES}
    for index, (found, weights) in enumerate(zip(lineup, weight_bytes, strict=True)):
        phase = size_label(weights)
        phase = phase if phase in _PHASES else "small"
        given = min(_PHASES[phase], gpus)
        able = [size for size in sorted(found) if size >= given] or [max(found)]
        jobs[phase].append(_job(index, found[able[0]]))
    return sum(_packed(of_phase, gpus) for of_phase in jobs.values())


def _packed(jobs: Sequence[Job], gpus: int) -> float:
    return simulate(sorted(jobs, key=lambda job: (-job.gpus, -job.seconds)), gpus).makespan


def _job(index: int, option: Option) -> Job:
    return option.jobs(str(index))[0]
