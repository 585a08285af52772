"""The thread that reads a job's devices."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing

from evalpack.errors import UserError
from evalpack.leases.nvml import Device, DeviceError
from evalpack.telemetry.facts import Sampling
from evalpack.telemetry.meter import Meter, Reading, open_meter

INTERVAL_SECONDS = 0.1
SLOWER_SECONDS = 0.2
"""Where a driver is slow to answer: sampling must not cost more than `MOST_CPU_SHARE`."""
MOST_CPU_SHARE = 0.008
FLUSH_SECONDS = 2.0
_JUDGED_AFTER_SECONDS = 5.0
_ASK_AGAIN_SECONDS = 5.0
_END_SECONDS = 5.0

_logger = logging.getLogger(__name__)


class Sampler:
    """Reads devices at a steady rate while they are watched, from a daemon thread."""

    def __init__(
        self, sampled: Callable[[Device, Reading], object], flush: Callable[[], object]
    ) -> None:
        """Make it; nothing runs yet.

        Args:
            sampled: is given each reading.
            flush: is called every two seconds, with or without devices.
        """
        self._sampled, self._flush = sampled, flush
        self._devices: tuple[Device, ...] = ()
        self._changed, self._stopping = threading.Event(), False
        self._interval, self._samples, self._cpu = INTERVAL_SECONDS, 0, 0.0
        self._watched_since: float | None = None
        self._wall = 0.0
        self._silent: dict[str, str] = {}
        self._ask_again: dict[str, float] = {}
        self._trouble: str | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="telemetry")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def watch(self, devices: Sequence[Device]) -> None:
        """Begin to read these devices."""
        self._devices = tuple(devices)
        self._watched_since = time.monotonic()
        self._changed.set()

    def rest(self) -> None:
        """Read no more."""
        if self._devices:
            self._wall = self._watched()
            self._devices, self._watched_since = (), None
            self._changed.set()

    def stop(self) -> None:
        """End the thread; one that hangs in the driver is left behind."""
        self.rest()
        self._stopping = True
        self._changed.set()
        self._thread.join(_END_SECONDS)

    def state(self) -> Sampling:
        """How it goes."""
        return Sampling(
            interval=self._interval,
            samples=self._samples,
            cpu_seconds=self._cpu,
            wall_seconds=self._watched(),
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
        cpu_before = time.thread_time()
        with contextlib.ExitStack() as stack:
            meter = self._open()
            if meter is not None:
                stack.enter_context(closing(meter))
            due = time.monotonic()
            while devices := self._devices:
                if meter is not None:
                    for device in devices:
                        self._read(meter, device)
                if time.monotonic() - flushed >= FLUSH_SECONDS:
                    self._flush()
                    flushed = time.monotonic()
                self._cpu = time.thread_time() - cpu_before
                self._slow_down()
                due = max(due + self._interval, time.monotonic())  # what was missed stays missed
                # Not `_changed`: a steady rate matters more than ending a tenth of a second sooner.
                time.sleep(due - time.monotonic() if due > time.monotonic() else 0.0)
            self._cpu = time.thread_time() - cpu_before
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

    def _read(self, meter: Meter, device: Device) -> None:
        if time.monotonic() < self._ask_again.get(device.uuid, 0.0):
            return
        try:
            reading = meter.reading(device)
        except DeviceError as error:
            if device.uuid not in self._silent:
                _logger.warning("%s does not say how it is: %s", device, error)
            self._silent[device.uuid] = str(error)
            self._ask_again[device.uuid] = time.monotonic() + _ASK_AGAIN_SECONDS
            return
        self._sampled(device, reading)
        self._samples += 1

    def _slow_down(self) -> None:
        watched = self._watched()
        if watched > _JUDGED_AFTER_SECONDS and self._cpu > MOST_CPU_SHARE * watched:
            self._interval = SLOWER_SECONDS
