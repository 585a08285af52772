"""The thread that reads a job's devices."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, Protocol

from evalpack.errors import UserError
from evalpack.leases.nvml import Device, DeviceError
from evalpack.telemetry.facts import ReadingFacts, Sampling
from evalpack.telemetry.meter import BUFFERED, KINDS, Kind, Meter, Reading, open_meter
from evalpack.telemetry.pace import (
    BATCH_SECONDS,
    FASTEST_SECONDS,
    FLUSH_SECONDS,
    STEADY_SECONDS,
    Cost,
    Pace,
)

_PLAN_SECONDS = 1.0
_PLANNED_ROUNDS = (2, 4, 8)
"""Also after these: a short job is to cost no more than a long one."""
_TRY_BUFFER_AFTER_SECONDS = 1.0
"""Then a driver that keeps samples has some of the job's time."""
_TRY_BUFFER_AGAIN_SECONDS = 30.0
_ASK_AGAIN_SECONDS = 5.0
_LAST_READING_SECONDS = 1.0
"""So long the job waits for the last reading at most."""
_END_SECONDS = 5.0

_logger = logging.getLogger(__name__)


class Sampled(Protocol):
    """Who is given the readings."""

    def __call__(self, device: Device, reading: Reading, age: float) -> object:
        """A reading, taken `age` seconds ago."""


class Sampler:
    """Reads devices while they are watched, from a daemon thread, within a budget (`Pace`).

    Everything is read when they are taken, at each `mark`, and before they are given back.
    """

    def __init__(self, sampled: Sampled, flush: Callable[[], object]) -> None:
        """Make it; nothing runs yet.

        Args:
            sampled: is given each reading.
            flush: is called every two seconds, with or without devices.
        """
        self._sampled, self._flush = sampled, flush
        self._devices: tuple[Device, ...] = ()
        self._changed, self._rested = threading.Event(), threading.Event()
        self._stopping = self._leaving = False
        self._pace: Pace | None = None
        self._counts: dict[Kind, int] = dict.fromkeys(KINDS, 0)
        self._samples, self._cpu, self._wall = 0, 0.0, 0.0
        self._watched_since: float | None = None
        self._silent: dict[str, str] = {}
        self._ask_again: dict[str, float] = {}
        self._try_buffer: dict[Kind, float] = dict.fromkeys(BUFFERED, 0.0)
        self._trouble: str | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="telemetry")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def watch(self, devices: Sequence[Device]) -> None:
        """Begin to read these devices."""
        self._devices, self._leaving = tuple(devices), False
        self._watched_since = time.monotonic()
        self._changed.set()

    def mark(self) -> None:
        """Read everything now: the job goes on to something else."""
        self._changed.set()

    def rest(self) -> None:
        """Read everything once more, and then no more."""
        if self._devices:
            self._rested.clear()
            self._leaving = True
            self._changed.set()
            if self._thread.is_alive():
                self._rested.wait(_LAST_READING_SECONDS)
            self._wall = self._watched()
            self._devices, self._watched_since = (), None

    def stop(self) -> None:
        """End the thread; one that hangs in the driver is left behind."""
        self.rest()
        self._stopping = True
        self._changed.set()
        self._thread.join(_END_SECONDS)

    def state(self) -> Sampling:
        """How it goes."""
        pace = self._pace
        read = [kind for kind in KINDS if pace is not None and self._counts[kind]]
        return Sampling(
            interval=min(pace.intervals.values()) if pace is not None else FASTEST_SECONDS,
            samples=self._samples,
            cpu_seconds=self._cpu,
            wall_seconds=self._watched(),
            readings={
                kind: ReadingFacts(
                    pace.intervals[kind], pace.costs[kind].mean, self._counts[kind], pace.how[kind]
                )
                for kind in read
                if pace is not None
            },
            silent=dict(self._silent),
            trouble=self._trouble,
        )

    def _watched(self) -> float:
        since = self._watched_since
        return self._wall if since is None else time.monotonic() - since

    def _run(self) -> None:
        flushed = time.monotonic()
        while not self._stopping:
            self._changed.wait(max(0.0, flushed + FLUSH_SECONDS - time.monotonic()))
            self._changed.clear()
            if self._devices:
                flushed = self._sample_until_rest(flushed)
            elif time.monotonic() - flushed >= FLUSH_SECONDS:
                self._flush()
                flushed = time.monotonic()

    def _sample_until_rest(self, flushed: float) -> float:
        """Read the devices until there are none; when it last flushed, on the monotonic clock."""
        begun = time.thread_time()
        with contextlib.ExitStack() as stack:
            meter = self._open()
            if meter is not None:
                stack.enter_context(closing(meter))
            pace = self._pace = Pace(len(self._devices), time.monotonic())
            rounds, planned = 0, time.monotonic()
            marked, last = True, False
            before = time.thread_time()
            while not last:
                last = self._leaving or self._stopping
                apart = self._round(meter, pace, marked or last) if meter is not None else 0.0
                if time.monotonic() - flushed >= FLUSH_SECONDS:
                    start = time.thread_time()
                    self._flush()
                    flushed = time.monotonic()
                    pace.flush.add(time.thread_time() - start)
                    apart += time.thread_time() - start
                rounds += 1
                if rounds in _PLANNED_ROUNDS or time.monotonic() - planned >= _PLAN_SECONDS:
                    planned = time.monotonic()
                    pace.plan(planned)
                    if meter is not None:
                        apart += self._try_buffers(meter, pace)
                after = time.thread_time()
                pace.around.add(max(0.0, after - before - apart))
                self._cpu, before = after - begun, after
                if not last:
                    pause = pace.next() - time.monotonic() if meter is not None else FLUSH_SECONDS
                    marked = self._changed.wait(max(0.0, pause))
                    self._changed.clear()
            self._rested.set()
        self._cpu = time.thread_time() - begun
        return flushed

    def _open(self) -> Meter | None:
        try:
            meter = open_meter()
        except (UserError, DeviceError) as error:
            self._trouble = str(error)
        else:
            if meter is not None:
                return meter
            self._trouble = "there is no NVIDIA driver"
        _logger.warning("GPUs are not sampled: %s", self._trouble)
        return None

    def _round(self, meter: Meter, pace: Pace, everything: bool) -> float:
        """Read what is due from every device; the CPU seconds that the readings took."""
        now = time.monotonic()
        due = KINDS if everything else pace.due(now)
        spent = sum(
            self._read(meter, pace, device, due)
            for device in self._devices
            if now >= self._ask_again.get(device.uuid, 0.0)
        )
        pace.took(due, now)
        return spent

    def _read(self, meter: Meter, pace: Pace, device: Device, due: Sequence[Kind]) -> float:
        values: dict[str, Any] = {}
        spent, batches = 0.0, 0
        trouble = "the device says nothing of itself" if len(due) == len(KINDS) else None
        for kind in due:
            before = time.thread_time()
            batch = meter.buffered(device, kind) if pace.how[kind] == "buffered" else None
            if not batch:  # also where the buffer ran dry, as some do on an idle device
                try:
                    values[kind] = meter.value(device, kind)
                except DeviceError as error:
                    trouble = str(error)
            cost = time.thread_time() - before
            pace.costs[kind].add(cost)
            spent += cost
            if batch or values.get(kind) is not None:
                self._counts[kind] += 1
            for age, value in _thinned(batch or ()):
                self._give(device, _alone(kind, value), age)
                batches += 1
        if any(value is not None for value in values.values()):
            self._give(device, Reading(**values), 0.0)
        elif not batches and trouble is not None:
            if device.uuid not in self._silent:
                _logger.warning("%s does not say how it is: %s", device, trouble)
            self._silent[device.uuid] = trouble
            self._ask_again[device.uuid] = time.monotonic() + _ASK_AGAIN_SECONDS
        return spent

    def _give(self, device: Device, reading: Reading, age: float) -> None:
        self._sampled(device, reading, age)
        self._samples += 1

    def _try_buffers(self, meter: Meter, pace: Pace) -> float:
        """See if the driver's buffer is cheaper, for what cannot be read often enough without.

        On an H100 a look into it costs more than fifty readings of utilisation: so it comes second.
        """
        spent, now = 0.0, time.monotonic()
        if self._watched() < _TRY_BUFFER_AFTER_SECONDS:
            return 0.0
        for kind in BUFFERED:
            if (
                pace.how[kind] == "buffered"
                or pace.intervals[kind] <= STEADY_SECONDS
                or pace.costs[kind].times < 2
                or now < self._try_buffer[kind]
            ):
                continue
            cost, offered = Cost(), bool(self._devices)
            for device in self._devices:
                before = time.thread_time()
                # What it holds already was read directly.
                offered = bool(meter.buffered(device, kind)) and offered
                cost.add(time.thread_time() - before)
                spent += time.thread_time() - before
            if offered and cost.mean / BATCH_SECONDS < pace.costs[kind].mean / STEADY_SECONDS:
                pace.buffer(kind, cost, now)
                pace.plan(now)
            else:
                self._try_buffer[kind] = now + _TRY_BUFFER_AGAIN_SECONDS
        return spent


def _thinned(batch: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """Samples at least a tenth of a second apart: some drivers keep fifty a second."""
    kept: list[tuple[float, float]] = []
    for age, value in batch:
        if not kept or kept[-1][0] - age >= FASTEST_SECONDS * 0.95:
            kept.append((age, value))
    return kept


def _alone(kind: Kind, value: float) -> Reading:
    return Reading(power=value) if kind == "power" else Reading(utilization=round(value))
