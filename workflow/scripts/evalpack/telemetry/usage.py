"""What samples say of an attempt's devices: energy, utilisation, power, memory."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Usage:
    """Sums over samples, of one attempt or of many.

    Attributes:
        joules: while devices were leased; None if no device told energy or power.
        seconds: between the first and the last sample of each device, of all devices together.
        generating: samples taken while generating that tell utilisation, and their sum in percent.
        power: samples taken while generating that tell power, and their sum in watts.
        peak_memory: bytes, the most that one device had in use.
    """

    joules: float | None = None
    seconds: float = 0.0
    generating: tuple[int, float] = (0, 0.0)
    power: tuple[int, float] = (0, 0.0)
    peak_memory: int | None = None

    @property
    def mean_utilization(self) -> float | None:
        """Percent, while generating."""
        return self.generating[1] / self.generating[0] if self.generating[0] else None

    @property
    def mean_power(self) -> float | None:
        """Watts a device, while generating."""
        return self.power[1] / self.power[0] if self.power[0] else None


def usage(table: pa.Table) -> Usage:
    """What the samples of one attempt come to."""
    frame = table.to_pandas().sort_values("time")
    devices = [device for _, device in frame.groupby("uuid", observed=True)]
    generating = frame[frame["phase"] == "generating"]
    memory = frame["memory_bytes"].dropna()
    return Usage(
        joules=_sum(map(joules, devices)),
        seconds=sum(_epoch(device).iloc[-1] - _epoch(device).iloc[0] for device in devices),
        generating=_tally(generating["utilization_percent"]),
        power=_tally(generating["power_watts"]),
        peak_memory=int(memory.max()) if len(memory) else None,
    )


def together(usages: Iterable[Usage]) -> Usage:
    """What several attempts come to."""
    found = list(usages)
    peaks = [one.peak_memory for one in found if one.peak_memory is not None]
    return Usage(
        joules=_sum(one.joules for one in found),
        seconds=sum(one.seconds for one in found),
        generating=_add(one.generating for one in found),
        power=_add(one.power for one in found),
        peak_memory=max(peaks, default=None),
    )


def joules(device: "pd.DataFrame") -> float | None:
    """Energy that one device took between its first and its last sample, from samples in order.

    The driver's counter says it; before its first reading and after its last (a job that is
    killed has none at its end), where there is none, or where it was set back, power is integrated
    over time (trapezoids).
    """
    counter = device["energy_millijoules"].dropna()
    if len(counter) < 2 or not counter.is_monotonic_increasing:
        return _integrated(device)
    times = _epoch(device)
    first, last = times[counter.index[0]], times[counter.index[-1]]
    ends = (_integrated(device[times <= first]), _integrated(device[times >= last]))
    counted = float(counter.iloc[-1] - counter.iloc[0]) / 1000
    return counted + sum(known for known in ends if known is not None)


def _integrated(device: "pd.DataFrame") -> float | None:
    """Joules by power over time; None if that is known at one time at most."""
    known = device.dropna(subset=["power_watts"])
    if len(known) < 2:
        return None
    steps, watts = _epoch(known).diff(), known["power_watts"].astype(float)
    return float((steps * (watts + watts.shift()) / 2).sum())


def _epoch(frame: "pd.DataFrame") -> "pd.Series[float]":
    """Times of samples, epoch seconds."""
    return frame["time"].astype("int64") / 1e6


def _tally(column: "pd.Series[Any]") -> tuple[int, float]:
    return int(column.count()), float(column.sum())


def _add(tallies: Iterable[tuple[int, float]]) -> tuple[int, float]:
    found = list(tallies)
    return sum(count for count, _ in found), sum(total for _, total in found)


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
