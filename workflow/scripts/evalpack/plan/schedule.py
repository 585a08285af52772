"""What runs when, and where: Snakemake's greedy scheduler, simulated.

Snakemake's greedy scheduler starts, whenever a job ends, the ready jobs of highest priority that
fit into the free GPUs, one after the other. It fills what a job too wide leaves, and reserves
nothing for it. All generate jobs are ready from the start.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Job:
    """One shard of a model: the GPUs it takes, and for how long (seconds).

    `start` is what passes before its first request (loading, compiling, imports of its own),
    `end` what passes after its last token until the next job can begin.
    """

    model: str
    shard: int
    shards: int
    gpus: int
    start: float
    generate: float
    priority: int = 0
    end: float = 0.0

    @property
    def seconds(self) -> float:
        """Seconds that the job holds its GPUs."""
        return self.start + self.generate + self.end


@dataclass(frozen=True, slots=True)
class Placed:
    """A job with the second at which it begins, and the GPUs (from 0) it is shown on."""

    job: Job
    begin: float
    devices: tuple[int, ...]

    @property
    def end(self) -> float:
        """Second at which the job ends."""
        return self.begin + self.job.seconds


@dataclass(frozen=True, slots=True)
class Schedule:
    """All jobs of a run on its GPUs, in the order in which they begin.

    Times are counted from the start of the run; no job begins before `lead` (seconds).
    """

    gpus: int
    placed: tuple[Placed, ...]
    lead: float = 0.0

    @property
    def makespan(self) -> float:
        """Seconds from the start of the run to the last job's end."""
        return max((place.end for place in self.placed), default=0.0)

    @property
    def gpu_seconds(self) -> float:
        """Seconds that jobs hold GPUs, summed over GPUs."""
        return sum(place.job.gpus * place.job.seconds for place in self.placed)

    @property
    def busy_share(self) -> float:
        """Share of all GPUs' time until the end in which a job holds them."""
        return self.gpu_seconds / (self.gpus * self.makespan) if self.makespan else 0.0

    @property
    def generating_share(self) -> float:
        """Share of all GPUs' time until the end in which tokens are made."""
        made = sum(place.job.gpus * place.job.generate for place in self.placed)
        return made / (self.gpus * self.makespan) if self.makespan else 0.0


def simulate(jobs: Iterable[Job], gpus: int, lead: float = 0.0) -> Schedule:
    """Run jobs as Snakemake's greedy scheduler does: by priority, then in the order given.

    Args:
        jobs: none wider than `gpus`.
        gpus: GPUs there are.
        lead: seconds before the first job can begin.

    Raises:
        ValueError: for a job wider than all GPUs, which would wait for ever.
    """
    ordered = sorted(jobs, key=lambda job: -job.priority)
    free = list(range(gpus))
    running: list[tuple[float, int, tuple[int, ...]]] = []
    placed: list[Placed] = []
    for index, begin in begins([(job.gpus, job.seconds) for job in ordered], gpus):
        while running and running[0][0] <= begin:
            _, _, devices = heapq.heappop(running)
            free = sorted([*free, *devices])
        job = ordered[index]
        devices = _take(free, job.gpus)
        heapq.heappush(running, (begin + job.seconds, index, devices))
        placed.append(Placed(job, lead + begin, devices))
    return Schedule(gpus, tuple(placed), lead)


def begins(jobs: Sequence[tuple[int, float]], gpus: int) -> Iterator[tuple[int, float]]:
    """When each job begins, in the order in which they do.

    Args:
        jobs: (GPUs, seconds) of each, the one of highest priority first.
        gpus: GPUs there are.

    Yields:
        The index of a job, and the second at which it begins.

    Raises:
        ValueError: for a job wider than all GPUs.
    """
    # Of the jobs of one width only the first can be next: a queue a width, in order of priority.
    queues: dict[int, list[int]] = {}
    for index in range(len(jobs) - 1, -1, -1):
        queues.setdefault(jobs[index][0], []).append(index)
    if queues and max(queues) > gpus:
        raise ValueError("a job is wider than all GPUs together")
    free, now = gpus, 0.0
    running: list[tuple[float, int]] = []
    while queues:
        while (first := _next(queues, free)) is not None:
            width, seconds = jobs[first]
            queue = queues[width]
            queue.pop()
            if not queue:
                del queues[width]
            free -= width
            heapq.heappush(running, (now + seconds, width))
            yield first, now
        now = running[0][0]
        while running and running[0][0] <= now:
            free += heapq.heappop(running)[1]


def _next(queues: dict[int, list[int]], free: int) -> int | None:
    """The first job that fits into the free GPUs."""
    best = None
    for width, queue in queues.items():
        if width <= free and (best is None or queue[-1] < best):
            best = queue[-1]
    return best


def _take(free: list[int], count: int) -> tuple[int, ...]:
    """Take `count` of the free GPUs, side by side where some are: neighbours share NVLink."""
    for first in range(0, len(free) - count + 1):
        if free[first] % count == 0 and free[first + count - 1] - free[first] == count - 1:
            break
    else:
        first = 0
    devices = tuple(free[first : first + count])
    del free[first : first + count]
    return devices
