"""The pool of GPUs that a run has: how many of which type, and what loading onto them takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evalpack.errors import UserError
from evalpack.plan.hardware import CPU, Device, gpu
from evalpack.plan.start import Storage


@dataclass(frozen=True, slots=True)
class Pool:
    """`count` devices of one type, with the disk that weights come from. The CPU is one slot."""

    device: Device
    count: int
    storage: Storage = field(default_factory=Storage)

    @property
    def gpu_type(self) -> str | None:
        """Name of the type; None for the CPU."""
        return self.device.name if self.device is not CPU else None


def find_pool(limit: int | None, hardware: Mapping[str, Any]) -> Pool:
    """The pool that a configuration means.

    Args:
        limit: `--resources gpu=N`, if it was given.
        hardware: the section of the config; it goes over what NVML sees.

    Raises:
        UserError: for a type that nothing is known of, and for no GPUs where some are asked for.
    """
    wanted = hardware.get("gpus")
    count = len(wanted) if isinstance(wanted, list) else wanted
    gpu_type = hardware.get("gpu_type")
    if count is None or (gpu_type is None and count):
        from evalpack.leases import usable_devices

        seen = usable_devices(wanted)
        count = len(seen) if count is None and seen else count
        gpu_type = gpu_type or (seen[0].name if seen else None)
    storage = Storage(bytes_per_second=hardware.get("load_gb_per_second", 2.0) * 1e9)
    if gpu_type is None and count:
        raise UserError(
            f"hardware.gpu_type must say what the {count} GPUs of hardware.gpus are, since this machine"
            " has none; leave gpus out to run on the CPU"
        )
    if gpu_type is None:
        return Pool(CPU, 1, storage)
    count = limit if limit is not None else count
    if count is None:
        raise UserError(
            f"hardware.gpus must say how many {gpu_type} there are, since this machine has none;"
            " so does --resources gpu=N"
        )
    if count < 1:
        raise UserError(
            f"there are {count} GPUs of type {gpu_type} to plan with; give hardware.gpus or"
            " --resources gpu=N at least 1, or leave gpu_type out to run on the CPU"
        )
    device = gpu(gpu_type, hardware.get("figures"), hardware.get("interconnect", "auto"))
    return Pool(device, count, storage)
