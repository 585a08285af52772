"""The ways in which one model could be run: tensor parallel sizes, shards, engine settings."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from evalpack.models import Model
from evalpack.plan.choices import choices
from evalpack.plan.cost import Cost, job_cost
from evalpack.plan.hardware import Device
from evalpack.plan.schedule import Job
from evalpack.plan.settings import Settings
from evalpack.plan.start import Storage
from evalpack.plan.workload import Workload

SHARING = 0.95
"""Engines that share a GPU must take at most this share of the time of one."""
GAIN, GAIN_SECONDS = 1.02, 1.0
"""An option of more shards, and more GPU-seconds, must take less time than another one by more than
this factor, and these seconds."""


@dataclass(frozen=True, slots=True)
class Option:
    """One way to run a model: `shards` jobs, each on `settings.tp` GPUs at `cost`.

    Attributes:
        gpus: of a job.
        seconds: of a job.
        area: GPU-seconds of all jobs.
    """

    shards: int
    settings: Settings
    cost: Cost
    # Worked out once: packing looks at them a million times.
    gpus: int = field(init=False)
    seconds: float = field(init=False)
    area: float = field(init=False)

    def __post_init__(self) -> None:
        """Work out what packing looks at."""
        object.__setattr__(self, "gpus", self.settings.tp)
        object.__setattr__(self, "seconds", self.cost.seconds)
        object.__setattr__(self, "area", self.shards * self.gpus * self.seconds)

    def jobs(self, model: str, priority: int = 0) -> list[Job]:
        """Its jobs."""
        cost = self.cost
        return [
            Job(
                model=model,
                shard=i + 1,
                shards=self.shards,
                gpus=self.gpus,
                start=cost.start,
                generate=cost.generate,
                priority=priority,
                end=cost.end,
            )
            for i in range(self.shards)
        ]


def options(
    model: Model,
    device: Device,
    work: Workload,
    storage: Storage,
    *,
    sizes: Sequence[int],
    shards: Iterable[int] | None,
    gpus: int,
    utilization: float,
    adjust: Callable[[Option], Option] = lambda option: option,
) -> list[Option]:
    """The options that can be best for some lineup, the least GPU-seconds first.

    Args:
        model: the model.
        device: what it runs on.
        work: all that it is asked.
        storage: where its weights come from.
        sizes: tensor parallel sizes that it fits on.
        shards: the numbers of shards to choose from; None for all that can run at once.
        gpus: GPUs there are.
        utilization: share of a GPU's memory that the engine may take.
        adjust: corrects an option by what was measured, before options are compared.
    """
    found: list[Option] = []
    for tp in sizes:
        settings = choices(model, device, work, storage, tp, utilization)
        counts = shards if shards is not None else _counts(min(gpus // tp, max(1, work.requests)))
        for count in counts:
            part = _part(work, count)
            costs = [(job_cost(model, device, part, one, storage), one) for one in settings]
            cost, chosen = min(costs, key=_worth)
            found.append(adjust(Option(count, chosen, cost)))
    return _undominated(found)


def _part(work: Workload, shards: int) -> Workload:
    """The fullest of `shards` parts: keys are dealt by hash, so parts differ by chance."""
    if shards == 1:
        return work
    mean = work.requests / shards
    return replace(work, requests=math.ceil(mean + math.sqrt(mean * (1 - 1 / shards))))


def _counts(most: int) -> list[int]:
    """Numbers of shards up to `most`: all small ones, then ever wider steps."""
    counts, count = [], 1
    while count < most:
        counts.append(count)
        count += max(1, count // 4)
    return [*counts, max(1, most)]


def _worth(pair: tuple[Cost, Settings]) -> float:
    """Seconds, less the gain that engines which share a GPU must bring: they take their memory."""
    cost, settings = pair
    return cost.seconds if settings.engines == 1 else cost.seconds / SHARING


def _undominated(found: Sequence[Option]) -> list[Option]:
    """Without options that another one of fewer GPU-seconds, and no wider, equals in time.

    About equal will do where it loads less often: a second load for a hundredth of the time is not
    worth it, the less so as all shards of a model read the same disk.
    """
    ordered = sorted(found, key=lambda o: (o.area, o.seconds, o.gpus, o.shards))
    kept: list[Option] = []
    for option in ordered:
        enough = max(option.seconds * GAIN, option.seconds + GAIN_SECONDS)
        if not any(
            o.seconds <= (enough if o.shards < option.shards else option.seconds)
            and o.gpus <= option.gpus
            for o in kept
        ):
            kept.append(option)
    return kept
