"""How often each kind of reading is taken: as often as the budget allows, however dear it is.

Some readings cost microseconds, others milliseconds, and which ones depends on driver and GPU: on
an H100 with driver 580 the energy counter takes a hundred times what the others take. So each
kind's cost is measured as it is read, from the first reading on.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from evalpack.telemetry.meter import KINDS, Kind

How = Literal["direct", "buffered"]

MOST_CPU_SHARE = 0.008
"""Of one core, for all devices together and with all that the thread does besides reading."""
FLUSH_SECONDS = 2.0
FASTEST_SECONDS = 0.1
STEADY_SECONDS = 0.2
"""Slower than this utilisation and power should not come."""
BATCH_SECONDS = 1.6
"""From one look into the driver's buffer to the next; drivers keep power for some 2.4 s."""

# All intervals are these times a power of two, so that whatever is due comes due together.
_STAGES: tuple[tuple[tuple[Kind, ...], float], ...] = (
    (("temperature", "energy"), 1.6),
    (("energy",), 51.2),  # it is read at every change of phase anyhow
    (KINDS, STEADY_SECONDS),
    (KINDS, 102.4),  # the dearest first, so that one alone does not slow the others
)
"""What is stretched in turn, and how far, until the budget suffices."""
_YIELDS: Mapping[Kind, float] = {"memory_used": 4.0, "temperature": 4.0}
"""So many times dearer they are taken for: utilisation and power are what matters most."""
_FASTER_BELOW = 0.75
"""Of the budget: nothing becomes faster for less, lest intervals go to and fro."""
_WEIGHT = 0.1
_TOGETHER = 0.05
"""Of an interval: what comes due so soon counts as read."""


class Cost:
    """CPU seconds that something takes: the mean, in which the last few times weigh most."""

    def __init__(self) -> None:
        self.mean, self.times = 0.0, 0

    def add(self, seconds: float) -> None:
        """It was done once more. The first time is dearer than others and is soon forgotten."""
        self.times += 1
        weight = 1.0 if self.times <= 2 else max(_WEIGHT, 1 / (self.times - 1))
        self.mean += weight * (seconds - self.mean)


@dataclass(frozen=True, slots=True)
class Load:
    """What sampling costs, in CPU seconds.

    Attributes:
        kinds: a reading of each, over all devices.
        around: a round, beyond its readings.
        flush: to the file.
    """

    kinds: Mapping[Kind, float]
    around: float = 0.0
    flush: float = 0.0

    def share(self, intervals: Mapping[Kind, float]) -> float:
        """Share of a core at these intervals."""
        readings = sum(cost / intervals[kind] for kind, cost in self.kinds.items())
        return readings + self.around / min(intervals.values()) + self.flush / FLUSH_SECONDS


def fit(load: Load, fastest: Mapping[Kind, float], budget: float) -> dict[Kind, float]:
    """The intervals that the budget allows: the dearest kind of each stage is stretched first.

    Where rounds cost more than what is read in them, the most frequent kind is.
    """

    def dear(kind: Kind) -> float:
        return _YIELDS.get(kind, 1.0) * load.kinds.get(kind, 0.0) / found[kind]

    def often(kind: Kind) -> float:
        return 1 / found[kind]

    found = dict(fastest)
    for kinds, most in _STAGES:
        while load.share(found) > budget:
            able = [kind for kind in kinds if found[kind] * 2 <= most * 1.01]
            if not able:
                break
            rounds = load.around / min(found.values())
            found[max(able, key=often if 2 * rounds > load.share(found) else dear)] *= 2
    return found


class Pace:
    """The intervals of a job's devices, and what is due when."""

    def __init__(self, devices: int, now: float) -> None:
        """Begin at full speed; `now` on the monotonic clock."""
        self._devices, self._begun = devices, now
        self._due = dict.fromkeys(KINDS, now)
        self.how: dict[Kind, How] = dict.fromkeys(KINDS, "direct")
        self.costs = {kind: Cost() for kind in KINDS}
        self.around, self.flush = Cost(), Cost()
        self.intervals: dict[Kind, float] = self._fastest()

    def due(self, now: float) -> tuple[Kind, ...]:
        """The kinds to be read now."""
        return tuple(kind for kind in KINDS if self._due[kind] <= now)

    def took(self, kinds: tuple[Kind, ...], now: float) -> None:
        """These were read; what was missed meanwhile stays missed."""
        for kind in kinds:
            self._due[kind] = self._after(now, self.intervals[kind])

    def next(self) -> float:
        """When something is due, on the monotonic clock."""
        return min(self._due.values())

    def plan(self, now: float) -> None:
        """Choose the intervals anew, by what readings have cost."""
        load = Load(
            {kind: cost.mean * self._devices for kind, cost in self.costs.items()},
            self.around.mean,
            self.flush.mean,
        )
        slow = fit(load, self._fastest(), MOST_CPU_SHARE * _FASTER_BELOW)
        fast = fit(load, self._fastest(), MOST_CPU_SHARE)
        for kind in KINDS:
            interval = min(max(self.intervals[kind], fast[kind]), slow[kind])
            if interval != self.intervals[kind]:
                self.intervals[kind] = interval
                self._due[kind] = self._after(now, interval)

    def buffer(self, kind: Kind, cost: Cost, now: float) -> None:
        """Read a kind from the driver's buffer from now on, at that cost."""
        self.how[kind], self.costs[kind] = "buffered", cost
        self.intervals[kind] = BATCH_SECONDS
        self._due[kind] = self._after(now, BATCH_SECONDS)

    def _fastest(self) -> dict[Kind, float]:
        # The counter's two ends are what counts; in between it serves jobs that are killed.
        return {
            kind: BATCH_SECONDS if kind == "energy" or how == "buffered" else FASTEST_SECONDS
            for kind, how in self.how.items()
        }

    def _after(self, now: float, interval: float) -> float:
        number = math.floor((now - self._begun) / interval + _TOGETHER) + 1
        return self._begun + number * interval
