"""What a GPU says of itself, through NVML.

An engine's processes are forked while a thread reads. A child that is forked in the middle of a
call into the driver would inherit its locks, closed for ever; so forks wait for the call to end.
"""

import os
import threading
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any, Protocol, cast

from evalpack.leases.nvml import Device, DeviceError, NoDriver, Nvml, NvmlLibrary, open_nvml

_FORK_WAITS_SECONDS = 2.0
"""At most: a driver that hangs must not keep the job from starting its engine."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a device says at one time; None where it does not say.

    Attributes:
        utilization: percent of the driver's last sample period in which a kernel ran.
        memory_used: bytes, without what the driver reserves.
        power: watts.
        temperature: of the chip, in degrees Celsius.
        energy: millijoules since the driver was loaded.
    """

    utilization: int | None = None
    memory_used: int | None = None
    power: float | None = None
    temperature: int | None = None
    energy: int | None = None


class Meter(Protocol):
    """A way to read devices; tests put another one in (`EVALPACK_TEST_NVML`)."""

    def reading(self, device: Device) -> Reading:
        """What the device says now; raises DeviceError if it says nothing."""

    def close(self) -> None:
        """Let go of the driver."""


def open_meter() -> Meter | None:
    """The driver's meter; None on a machine without a driver.

    Raises:
        UserError: the driver is there but out of order.
    """
    with driver:
        nvml = open_nvml()
    if isinstance(nvml, NoDriver):
        return None
    if isinstance(nvml, NvmlLibrary):
        import pynvml

        return NvmlMeter(pynvml, nvml.close)
    if hasattr(nvml, "reading"):
        return cast(Meter, nvml)
    return _MemoryMeter(nvml)


class NvmlMeter:
    """The real meter."""

    def __init__(self, pynvml: Any, close: Callable[[], object]) -> None:
        """Wrap the module, on which nvmlInit has been called; `close` undoes that."""
        self._pynvml, self._close = pynvml, close
        self._handles: dict[str, Any] = {}
        self._unsupported: set[tuple[str, str]] = set()
        self._last_error = ""

    def reading(self, device: Device) -> Reading:
        """Each value for itself; what a device does not support is not asked again."""
        nvml = self._pynvml
        with driver:
            handle = self._handle(device)
            used = self._ask(
                device,
                "memory",
                lambda: nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2).used,
            )
            if used is None:  # drivers before 510
                used = self._ask(
                    device, "memory, old", lambda: nvml.nvmlDeviceGetMemoryInfo(handle).used
                )
            power = self._ask(device, "power", lambda: nvml.nvmlDeviceGetPowerUsage(handle))
            found = Reading(
                utilization=self._ask(
                    device, "use", lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu
                ),
                memory_used=used,
                power=None if power is None else power / 1000,
                temperature=self._ask(
                    device,
                    "temperature",
                    lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
                ),
                energy=self._ask(
                    device, "energy", lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
                ),
            )
        if all(value is None for value in astuple(found)):
            raise DeviceError(self._last_error or "the device says nothing of itself")
        return found

    def close(self) -> None:
        """Undo nvmlInit (the library counts)."""
        with driver:
            self._close()

    def _handle(self, device: Device) -> Any:
        if device.uuid not in self._handles:
            try:
                handle = self._pynvml.nvmlDeviceGetHandleByUUID(device.uuid)
            except self._pynvml.NVMLError as error:
                raise DeviceError(str(error)) from error
            self._handles[device.uuid] = handle
        return self._handles[device.uuid]

    def _ask(self, device: Device, what: str, question: Callable[[], int]) -> int | None:
        if (device.uuid, what) in self._unsupported:
            return None
        nvml = self._pynvml
        try:
            return int(question())
        except (
            nvml.NVMLError_NotSupported,
            nvml.NVMLError_FunctionNotFound,
            nvml.NVMLError_NoPermission,
        ):
            self._unsupported.add((device.uuid, what))
        except nvml.NVMLError as error:
            self._last_error = str(error)
        return None


class _MemoryMeter:
    """A replacement made for leases alone: it knows memory and nothing else."""

    def __init__(self, nvml: Nvml) -> None:
        self._nvml = nvml

    def reading(self, device: Device) -> Reading:
        return Reading(memory_used=self._nvml.used_bytes(device))

    def close(self) -> None:
        self._nvml.close()


class _Driver:
    """Held during every call into the driver, and by a thread that forks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forking = threading.local()
        os.register_at_fork(
            before=self._before, after_in_parent=self._after, after_in_child=self._in_child
        )

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def _before(self) -> None:
        self._forking.held = self._lock.acquire(timeout=_FORK_WAITS_SECONDS)

    def _after(self) -> None:
        if self._forking.held:
            self._lock.release()

    def _in_child(self) -> None:
        self._lock = threading.Lock()


driver = _Driver()
