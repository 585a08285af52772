"""Whether a GPU's memory is ours to take: foreign use, and what a job just gone still frees."""

import time
from dataclasses import dataclass, field

from evalpack.leases.nvml import Device, DeviceError, Nvml

GIB = 2**30
FOREIGN_BYTES = 1 * GIB
NOISE_BYTES = GIB // 16
STEADY_SECONDS = 0.5
DRAIN_SECONDS = 15.0


@dataclass
class _Reading:
    used: int
    since: float
    first: float


@dataclass
class MemoryWatch:
    """Watches the devices' memory over the polls of one waiting job."""

    nvml: Nvml
    _readings: dict[str, _Reading] = field(default_factory=dict)

    def forget(self, device: Device) -> None:
        """Start afresh with a device: a job of ours has it, and will leave its memory behind."""
        self._readings.pop(device.uuid, None)

    def objection(self, device: Device) -> str | None:
        """Why the device cannot be taken now, as the end of a sentence about it; None if it can.

        More than 1 GiB in use is somebody else's or still being freed; both keep us away, and after
        15 s we call it somebody else's. Less than that must stand still for half a second: an
        engine that measures free memory fails if it grows meanwhile. The 15 s bound that, too.
        """
        try:
            used = self.nvml.used_bytes(device)
        except DeviceError as error:
            return f"does not answer the driver ({error})"
        if used <= NOISE_BYTES:
            self.forget(device)
            return None
        now = time.monotonic()
        reading = self._readings.setdefault(device.uuid, _Reading(used, now, now))
        if reading.used != used:
            reading.used, reading.since = used, now
        lasting = now - reading.first >= DRAIN_SECONDS
        if used > FOREIGN_BYTES:
            whose = "by others than evalpack" if lasting else "by others, or is still being freed"
            return f"has {used / GIB:.1f} GiB in use {whose}"
        if lasting or now - reading.since >= STEADY_SECONDS:
            return None
        return f"is still being freed ({used / GIB:.1f} GiB in use)"
