"""What is told of one attempt at a job: who, when, on what, and what came of it."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from evalpack.telemetry.spans import Span, overlap

SCHEMA_VERSION = 1
KEY = b"evalpack.telemetry"
"""Where a file's metadata hold the facts, as JSON."""

PHASES = ("importing", "waiting", "loading", "generating", "ending")

End = Literal["done", "failed", "killed"]


@dataclass(frozen=True, slots=True)
class JobInfo:
    """Which job it is.

    Attributes:
        model: its name in the config.
        slug: its file name.
        name: of the job among its model's: `1-of-2`, `pilot`.
        gpus: that it asks for; 0: a server elsewhere answers.
    """

    model: str
    slug: str
    name: str
    gpus: int


@dataclass(frozen=True, slots=True)
class PhaseSpan:
    """A phase, in epoch seconds; `end` is None while it lasts."""

    phase: str
    begin: float
    end: float | None = None


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A GPU that the job had; `memory_total` in bytes, `index` in NVML's order."""

    uuid: str
    index: int
    name: str
    memory_total: int


@dataclass(frozen=True, slots=True)
class ReadingFacts:
    """How one kind of reading was taken.

    Attributes:
        interval: seconds from one to the next, as last aimed at.
        seconds: of CPU that one takes, for one device.
        count: of all devices together.
        how: `direct`: the value of the moment; `buffered`: all that the driver kept since the last.
    """

    interval: float
    seconds: float
    count: int
    how: Literal["direct", "buffered"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the devices were sampled.

    Attributes:
        interval: seconds from one sample to the next, as last aimed at.
        samples: of all devices together.
        cpu_seconds: that the sampling thread spent.
        wall_seconds: from the devices' taking to their release.
        readings: by kind (`meter.KINDS`), what the devices support.
        silent: why a device did not answer, by UUID; the last reason.
        trouble: why there are no samples at all.
    """

    interval: float = 0.0
    samples: int = 0
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    readings: dict[str, ReadingFacts] = field(default_factory=dict)
    silent: dict[str, str] = field(default_factory=dict)
    trouble: str | None = None

    @property
    def cpu_share(self) -> float | None:
        """Share of one core that sampling took."""
        return self.cpu_seconds / self.wall_seconds if self.wall_seconds > 0 else None


@dataclass(frozen=True, slots=True)
class Facts:
    """One attempt; all times are epoch seconds.

    Attributes:
        process: `processes.identity()` of the job.
        workflow: token of the workflow that started it (`runlock.current_owner`); None if unknown.
        began: when the job was asked to start.
        phases: without gaps, from `began` on.
        devices: that it had, from `taken` to `released`.
        answers: that came, with so many `output_tokens`, to so many `prompt_tokens`.
        first_token: when the first token came, where the engine tells.
        known_until: when these facts were written.
        end: how it ended; None while it runs, or if it was killed since.
    """

    job: JobInfo
    process: dict[str, Any]
    workflow: str | None
    began: float
    phases: tuple[PhaseSpan, ...]
    devices: tuple[DeviceInfo, ...] = ()
    taken: float | None = None
    released: float | None = None
    answers: int = 0
    output_tokens: int = 0
    prompt_tokens: int = 0
    first_token: float | None = None
    sampling: Sampling = Sampling()
    known_until: float = 0.0
    end: End | None = None

    def entered(self, phase: str, now: float) -> "Facts":
        """The facts after another phase has begun."""
        last = self.phases[-1]
        if last.phase == phase:
            return self
        return replace(
            self, phases=(*self.phases[:-1], replace(last, end=now), PhaseSpan(phase, now))
        )

    def ended(self, end: End, now: float) -> "Facts":
        """The facts after the end: the last phase is over, the devices are free."""
        released = now if self.taken is not None and self.released is None else self.released
        phases = (*self.phases[:-1], replace(self.phases[-1], end=now))
        return replace(self, phases=phases, released=released, known_until=now, end=end)

    @property
    def span(self) -> Span:
        """From when the job was asked to start to its end, or as far as is known."""
        return self.began, self.known_until

    @property
    def lease(self) -> Span | None:
        """From the devices' taking to their release; None if it had none."""
        if not self.devices or self.taken is None:
            return None
        return self.taken, self.known_until if self.released is None else self.released

    def spans(self, phase: str) -> Iterator[Span]:
        """When the job was in a phase."""
        for one in self.phases:
            if one.phase == phase:
                yield one.begin, self.known_until if one.end is None else one.end

    def phase_at(self, time: float) -> str:
        """The phase that the job was in."""
        begun = [one.phase for one in self.phases if one.begin <= time]
        return begun[-1] if begun else self.phases[0].phase

    def gpu_seconds(self, phase: str) -> float:
        """Seconds of a phase while the job had devices, times the devices."""
        if self.lease is None:
            return 0.0
        return len(self.devices) * sum(overlap(span, self.lease) for span in self.spans(phase))

    def to_json(self) -> bytes:
        """As files hold them."""
        value = {"schema_version": SCHEMA_VERSION, **asdict(self)}
        value["sampling"]["cpu_share"] = self.sampling.cpu_share
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()

    @staticmethod
    def from_json(text: bytes) -> "Facts":
        """Inverse of `to_json`.

        Raises:
            ValueError: these are no facts, or of a form that this version does not know.
        """
        value = json.loads(text)
        if value.pop("schema_version", None) != SCHEMA_VERSION:
            raise ValueError(f"the facts are not of schema version {SCHEMA_VERSION}")
        try:
            sampling = value["sampling"]
            del sampling["cpu_share"]
            readings = sampling.pop("readings", {})  # files of an earlier evalpack have none
            sampling["readings"] = {kind: ReadingFacts(**one) for kind, one in readings.items()}
            made = {
                "job": JobInfo(**value["job"]),
                "phases": tuple(PhaseSpan(**one) for one in value["phases"]),
                "devices": tuple(DeviceInfo(**one) for one in value["devices"]),
                "sampling": Sampling(**sampling),
            }
            return Facts(**{**value, **made})
        except (KeyError, TypeError) as error:
            raise ValueError(f"the facts are incomplete: {error}") from error
