"""Snakemake's own greedy scheduler, asked what it would start: the oracle for `evalpack.plan.schedule`."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from snakemake.scheduling.greedy import Scheduler, SchedulerSettings

from evalpack.plan.schedule import Job


@dataclass(eq=False)
class StandIn:
    """What the scheduler looks at of a Snakemake job."""

    job: Job
    input: tuple[str, ...] = ()
    scheduler_resources: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.scheduler_resources = {"_cores": 1, "_nodes": 1, "gpu": self.job.gpus}

    @property
    def priority(self) -> int:
        return self.job.priority


def run(jobs: Sequence[Job], gpus: int) -> list[tuple[Job, float]]:
    """Run jobs of known length under Snakemake's scheduler: each with the second it begins at."""
    scheduler = Scheduler(SimpleNamespace(), SchedulerSettings(), logging.getLogger("greedy"))
    waiting = [StandIn(job) for job in jobs]
    running: list[tuple[float, int]] = []  # end, GPUs
    begun: list[tuple[Job, float]] = []
    now, free = 0.0, gpus
    while waiting:
        resources: dict[str, Any] = {"_cores": 10_000, "_nodes": 10_000, "gpu": free}
        for chosen in scheduler.select_jobs(waiting, waiting, resources, {}):
            begun.append((chosen.job, now))
            running.append((now + chosen.job.seconds, chosen.job.gpus))
            free -= chosen.job.gpus
            waiting.remove(chosen)
        now = min(end for end, _ in running)
        free += sum(width for end, width in running if end <= now)
        running = [one for one in running if one[0] > now]
    return begun
