"""What a plan comes to, as a person wants to see it before spending GPU hours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evalpack.plan.schedule import Schedule

GB = 1e9


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model of the plan. Bytes are of one GPU (but `weight_bytes`), times in seconds.

    `finish` counts from the start of the run to the end of the model's last job; `size` is the
    label that users know: small (weights up to 20 GB), medium (up to 80 GB) or large.
    """

    model: str
    slug: str
    size: str
    weight_bytes: int | None
    gpus: int
    shards: int
    weights_each: int
    kv_each: int
    other_each: int
    batch: int
    requests: int
    start: float
    generate: float
    begin: float
    finish: float
    engine_args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlanReport:
    """A plan and its totals; times in seconds, shares of 1.

    Attributes:
        one_at_a_time: the same work, one model after the other.
        phases: the same work in three phases: small models, then medium, then large ones.
        lower_bound: no plan of these models on these GPUs can be shorter.
        solved_by: how the plan was found.
        price: of one GPU for an hour, in `currency`; None if it is not known.
        notes: sentences that the reader must know.
    """

    run: str
    gpu_type: str
    gpu_memory: int
    gpus: int
    rows: Sequence[ModelRow]
    schedule: Schedule
    one_at_a_time: float
    phases: float
    lower_bound: float
    solved_by: str
    price: float | None = None
    currency: str = "USD"
    notes: Sequence[str] = ()

    @property
    def on_cpu(self) -> bool:
        """Whether the one device is the CPU."""
        return self.gpu_type == "CPU"

    @property
    def makespan(self) -> float:
        """Seconds from start to end."""
        return self.schedule.makespan

    @property
    def lead(self) -> float:
        """Seconds from the start of the run before the first job can begin: vLLM is imported."""
        return self.schedule.lead

    @property
    def gpu_hours(self) -> float:
        """GPU-hours that are paid for: every GPU until the end."""
        return self.gpus * self.makespan / 3600

    @property
    def gap(self) -> float:
        """How far the makespan is above the lower bound, as a share of it."""
        return self.makespan / self.lower_bound - 1 if self.lower_bound else 0.0

    @property
    def cost(self) -> float | None:
        """Price of the GPU-hours."""
        return None if self.price is None else self.price * self.gpu_hours


def size_label(weight_bytes: int | None) -> str:
    """`small` (weights up to 20 GB), `medium` (up to 80 GB), `large`, or `–` if not known."""
    if weight_bytes is None:
        return "–"
    return "small" if weight_bytes <= 20 * GB else "medium" if weight_bytes <= 80 * GB else "large"


def duration(seconds: float) -> str:
    """Seconds as people write them.

    >>> duration(42), duration(754), duration(5025)
    ('42 s', '12 min 34 s', '1 h 24 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def clock(seconds: float) -> str:
    """Seconds as a table holds them.

    >>> clock(42), clock(754), clock(5025)
    ('0:42', '12:34', '1:23:45')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
