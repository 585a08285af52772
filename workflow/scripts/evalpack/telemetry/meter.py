"""What a GPU says of itself, through NVML."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar, cast

from evalpack.leases.nvml import Device, DeviceError, NoDriver, Nvml, NvmlLibrary, open_nvml
from evalpack.telemetry.forks import driver

Kind = Literal["utilization", "memory_used", "power", "temperature", "energy"]
KINDS: tuple[Kind, ...] = ("utilization", "memory_used", "power", "temperature", "energy")
"""The fields of Reading."""

BUFFERED: tuple[Kind, ...] = ("utilization", "power")
"""What drivers may also keep samples of."""

Sample = tuple[float, float]
"""A value that the driver kept, after the seconds since it was taken."""

_OLDEST_SECONDS, _AHEAD_SECONDS = 120.0, 2.0
"""A driver's newest sample lies within these of now; else its clock is not the system's."""

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a device says at one time; None where it does not say, or was not asked.

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

    def value(self, device: Device, kind: Kind) -> float | None:
        """What the device says now; None if it does not support that.

        Raises:
            DeviceError: it does not answer.
        """

    def buffered(self, device: Device, kind: Kind) -> list[Sample] | None:
        """What the driver kept since it was last asked, oldest first; None if it keeps nothing.

        What it kept from before the meter was opened is left out.
        """

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
    if hasattr(nvml, "value"):
        return cast(Meter, nvml)
    return _MemoryMeter(nvml)


class NvmlMeter:
    """The real meter."""

    def __init__(self, pynvml: Any, close: Callable[[], object]) -> None:
        """Wrap the module, on which nvmlInit has been called; `close` undoes that."""
        self._pynvml, self._close = pynvml, close
        self._handles: dict[str, Any] = {}
        self._unsupported: set[tuple[str, str]] = set()
        self._seen: dict[tuple[str, Kind], int] = {}
        self._opened = int(time.time() * 1e6)
        self._direct: Mapping[Kind, Callable[[Device], float | None]] = {
            "utilization": self._utilization,
            "memory_used": self._memory,
            "power": self._power,
            "temperature": self._temperature,
            "energy": self._energy,
        }

    def value(self, device: Device, kind: Kind) -> float | None:
        """What a device does not support is not asked again."""
        return self._direct[kind](device)

    def buffered(self, device: Device, kind: Kind) -> list[Sample] | None:
        """Samples of utilisation and power, where the driver keeps them with usable times."""
        nvml, key = self._pynvml, (device.uuid, kind)
        name = {
            "utilization": "NVML_GPU_UTILIZATION_SAMPLES",
            "power": "NVML_TOTAL_POWER_SAMPLES",
        }.get(kind)
        if name is None:
            return None
        since = self._seen.setdefault(key, self._opened)
        try:
            found = self._ask(
                device,
                f"samples of {kind}",
                lambda handle: nvml.nvmlDeviceGetSamples(handle, getattr(nvml, name), since),
            )
        except DeviceError:  # "not found" is how some say that nothing has happened
            return []
        if found is None:
            return None
        value_type, kept = found
        field = self._field(value_type)
        now = time.time()
        # Drivers are known to return what is older than was asked for, and slots never filled.
        fresh = sorted(
            (int(one.timeStamp), float(getattr(one.sampleValue, field)))
            for one in kept
            if one.timeStamp > since
        )
        if not fresh:
            return []
        if not -_AHEAD_SECONDS <= now - fresh[-1][0] / 1e6 <= _OLDEST_SECONDS:
            self._unsupported.add((device.uuid, f"samples of {kind}"))
            return None
        self._seen[key] = fresh[-1][0]
        scale = 1000 if kind == "power" else 1
        return [(now - at / 1e6, value / scale) for at, value in fresh]

    def close(self) -> None:
        """Undo nvmlInit (the library counts)."""
        with driver:
            self._close()

    def _utilization(self, device: Device) -> float | None:
        nvml = self._pynvml
        return self._ask(device, "use", lambda it: int(nvml.nvmlDeviceGetUtilizationRates(it).gpu))

    def _memory(self, device: Device) -> float | None:
        nvml = self._pynvml
        used = self._ask(
            device,
            "memory",
            lambda it: int(nvml.nvmlDeviceGetMemoryInfo(it, version=nvml.nvmlMemory_v2).used),
        )
        if used is None:  # drivers before 510
            used = self._ask(
                device, "memory, old", lambda it: int(nvml.nvmlDeviceGetMemoryInfo(it).used)
            )
        return used

    def _power(self, device: Device) -> float | None:
        nvml = self._pynvml
        return self._ask(device, "power", lambda it: int(nvml.nvmlDeviceGetPowerUsage(it)) / 1000)

    def _temperature(self, device: Device) -> float | None:
        nvml = self._pynvml
        return self._ask(
            device,
            "temperature",
            lambda it: int(nvml.nvmlDeviceGetTemperature(it, nvml.NVML_TEMPERATURE_GPU)),
        )

    def _energy(self, device: Device) -> float | None:
        nvml = self._pynvml
        return self._ask(
            device, "energy", lambda it: int(nvml.nvmlDeviceGetTotalEnergyConsumption(it))
        )

    def _field(self, value_type: int) -> str:
        """Where a sample has its value."""
        nvml = self._pynvml
        return {
            nvml.NVML_VALUE_TYPE_DOUBLE: "dVal",
            nvml.NVML_VALUE_TYPE_UNSIGNED_LONG: "ulVal",
            nvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG: "ullVal",
            nvml.NVML_VALUE_TYPE_SIGNED_LONG_LONG: "sllVal",
            nvml.NVML_VALUE_TYPE_SIGNED_INT: "siVal",
        }.get(value_type, "uiVal")

    def _ask(self, device: Device, what: str, question: Callable[[Any], _Answer]) -> _Answer | None:
        if (device.uuid, what) in self._unsupported:
            return None
        nvml = self._pynvml
        try:
            with driver:
                if device.uuid not in self._handles:
                    self._handles[device.uuid] = nvml.nvmlDeviceGetHandleByUUID(device.uuid)
                return question(self._handles[device.uuid])
        except (
            nvml.NVMLError_NotSupported,
            nvml.NVMLError_FunctionNotFound,
            nvml.NVMLError_NoPermission,
        ):
            self._unsupported.add((device.uuid, what))
        except nvml.NVMLError as error:
            raise DeviceError(str(error)) from error
        return None


class _MemoryMeter:
    """A replacement made for leases alone: it knows memory and nothing else."""

    def __init__(self, nvml: Nvml) -> None:
        self._nvml = nvml

    def value(self, device: Device, kind: Kind) -> float | None:
        return self._nvml.used_bytes(device) if kind == "memory_used" else None

    def buffered(self, device: Device, kind: Kind) -> list[Sample] | None:
        return None

    def close(self) -> None:
        self._nvml.close()
