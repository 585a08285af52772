"""What the driver says about the GPUs: the only place that talks to NVML."""

import logging
import os
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast

from evalpack.errors import UserError

TEST_NVML = "EVALPACK_TEST_NVML"


@dataclass(frozen=True)
class Device:
    """One GPU.

    Attributes:
        uuid: the driver's name for it (`GPU-…`), the same in every process and container.
        index: its place in NVML's order, which is PCI order.
        memory_total: bytes.
        name: the product, such as `NVIDIA A100-SXM4-80GB`.
    """

    uuid: str
    index: int
    memory_total: int
    name: str

    def __str__(self) -> str:
        return f"GPU {self.index} ({self.uuid})"


class DeviceError(Exception):
    """The driver does not answer for this device, for example because it fell off the bus."""


class Nvml(Protocol):
    """What leases need to know of the driver; tests put another one in (`EVALPACK_TEST_NVML`)."""

    def devices(self) -> tuple[Device, ...]:
        """All GPUs, in NVML's order; empty where there is none."""

    def used_bytes(self, device: Device) -> int:
        """Memory in use, without what the driver reserves; raises DeviceError."""

    def linked(self, one: Device, other: Device) -> bool:
        """Whether NVLink joins the two, directly or through a switch."""

    def distance(self, one: Device, other: Device) -> int:
        """How far apart they are on the PCI tree (NVML's topology level; more is farther)."""

    def close(self) -> None:
        """Let go of the driver."""


def open_nvml() -> Nvml:
    """The driver; NoDriver on a machine without one.

    Raises:
        UserError: the driver is there but out of order.
    """
    if replacement := os.environ.get(TEST_NVML):
        module, _, name = replacement.partition(":")
        return cast(Nvml, getattr(import_module(module), name)())
    import pynvml

    absent = (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded)
    try:
        pynvml.nvmlInit()
    except absent:
        return NoDriver()
    except pynvml.NVMLError as error:
        raise UserError(
            f"The NVIDIA driver does not work ({error}); mend it (`nvidia-smi` should list the "
            "GPUs) or set CUDA_VISIBLE_DEVICES to the empty string to run without a GPU."
        ) from error
    return NvmlLibrary(pynvml)


class NoDriver:
    """A machine without GPUs."""

    def devices(self) -> tuple[Device, ...]:
        """None."""
        return ()

    def used_bytes(self, device: Device) -> int:
        """Fails: there is no device to ask about."""
        raise DeviceError("there is no NVIDIA driver")

    def linked(self, one: Device, other: Device) -> bool:
        """False."""
        return False

    def distance(self, one: Device, other: Device) -> int:
        """Zero."""
        return 0

    def close(self) -> None:
        """Nothing to let go of."""


class NvmlLibrary:
    """The real driver, through nvidia-ml-py. Opens no CUDA context."""

    def __init__(self, pynvml: Any) -> None:
        """Wrap the module, on which nvmlInit has been called."""
        self._pynvml = pynvml

    def devices(self) -> tuple[Device, ...]:
        """All GPUs that answer; one that does not is named in the log and left out."""
        found = []
        for index in range(self._pynvml.nvmlDeviceGetCount()):
            try:
                handle = self._pynvml.nvmlDeviceGetHandleByIndex(index)
                uuid = self._pynvml.nvmlDeviceGetUUID(handle)
                total = int(self._pynvml.nvmlDeviceGetMemoryInfo(handle).total)
                name = self._pynvml.nvmlDeviceGetName(handle)
            except self._pynvml.NVMLError as error:
                logging.getLogger(__name__).warning("GPU %d is left out: %s", index, error)
                continue
            found.append(Device(uuid, index, total, name))
        return tuple(found)

    def used_bytes(self, device: Device) -> int:
        """Memory in use; drivers before 510 count what they reserve (some 0.5 GiB) as used."""
        pynvml = self._pynvml
        try:
            handle = pynvml.nvmlDeviceGetHandleByUUID(device.uuid)
            try:
                info = pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2)
            except pynvml.NVMLError_FunctionNotFound:
                info = pynvml.nvmlDeviceGetMemoryInfo(handle)
        except pynvml.NVMLError as error:
            raise DeviceError(str(error)) from error
        return int(info.used)

    def linked(self, one: Device, other: Device) -> bool:
        """Asks for peer access over NVLink, which is also true through an NVSwitch."""
        pynvml = self._pynvml
        try:
            status = pynvml.nvmlDeviceGetP2PStatus(
                *self._pair(one, other), pynvml.NVML_P2P_CAPS_INDEX_NVLINK
            )
        except pynvml.NVMLError:
            return False
        return bool(status == pynvml.NVML_P2P_STATUS_OK)

    def distance(self, one: Device, other: Device) -> int:
        """The level of the nearest common ancestor; the farthest where the driver cannot say."""
        pynvml = self._pynvml
        try:
            return int(pynvml.nvmlDeviceGetTopologyCommonAncestor(*self._pair(one, other)))
        except pynvml.NVMLError:
            return int(pynvml.NVML_TOPOLOGY_SYSTEM)

    def close(self) -> None:
        """Undo nvmlInit (the library counts)."""
        self._pynvml.nvmlShutdown()

    def _pair(self, one: Device, other: Device) -> tuple[Any, Any]:
        by_uuid = self._pynvml.nvmlDeviceGetHandleByUUID
        return by_uuid(one.uuid), by_uuid(other.uuid)
