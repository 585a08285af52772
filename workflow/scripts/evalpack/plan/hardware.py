"""GPU types: what a plan needs to know of them, and the names that NVML gives them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from evalpack.errors import UserError

GIB = 2**30
PCIE = 25e9
"""Bytes a second of an all-reduce between GPUs on PCIe 4.0, without NVLink."""


@dataclass(frozen=True, slots=True)
class Device:
    """What jobs run on: the figures of one GPU, and of what joins it to the others.

    Attributes:
        name: the type, as `hardware.gpu_type` spells it.
        memory: bytes that CUDA reports, a little under the label.
        flops: dense bfloat16 FLOP/s of the datasheet.
        bandwidth: of its memory, bytes/s of the datasheet.
        link: bytes/s that an all-reduce over NVLink (or PCIe, where it has none) reaches.
        host: how long the CPU side of a step takes, relative to the machine that the H100 rows
            were measured on; where nothing was measured, 1.
        mixed_graphs: whether CUDA graphs hold for steps that read prompts and decode: FlashAttention
            3 can, which runs on compute capability 9 (H100, H200).
    """

    name: str
    memory: int
    flops: float
    bandwidth: float
    link: float = PCIE
    host: float = 1.0
    mixed_graphs: bool = False


GPUS = {
    gpu.name: gpu
    for gpu in (
        Device("A100-40GB", int(39.3 * GIB), 312e12, 1.555e12, link=230e9),
        Device("A100-80GB", int(79.1 * GIB), 312e12, 2.039e12, link=230e9),
        Device("H100-80GB", int(79.1 * GIB), 989e12, 3.35e12, 350e9, mixed_graphs=True),
        Device("H200-141GB", int(139.7 * GIB), 989e12, 4.8e12, 350e9, 0.75, mixed_graphs=True),
        Device("L40S-48GB", int(44.3 * GIB), 362e12, 0.864e12),
    )
}

# Two cores of a development machine, from 260 tokens/s of a 135M model; its memory is not planned.
CPU = Device("CPU", 0, 0.12e12, 20e9)


def gpu(name: str, figures: Mapping[str, Any] | None = None, interconnect: str = "auto") -> Device:
    """The GPU type that a name means: one of ours, or NVML's (`NVIDIA A100-SXM4-80GB`).

    Args:
        name: the type.
        figures: `hardware.figures` of the config: those of another type, or over ours. Units are
            those of datasheets: GB (10⁹ bytes), TFLOP/s, GB/s.
        interconnect: `nvlink`, `pcie`, or `auto` for what the type comes with.

    Raises:
        UserError: if the name is none we have figures for and none are given, or a MIG slice.
    """
    known = _known(name)
    device = _with_figures(name, known, figures or {})
    if interconnect == "pcie":
        return replace(device, link=PCIE)
    if interconnect == "nvlink" and device.link == PCIE:
        return replace(device, link=GPUS["A100-80GB"].link)
    return device


def _known(name: str) -> Device | None:
    """Ours with this name, or the one that NVML means by it."""
    words = re.split(r"[\s_-]+", name.upper().replace("NVIDIA", "").strip())
    if "MIG" in words:
        raise UserError(f"hardware.gpu_type: `{name}` is a MIG slice; evalpack plans whole GPUs")
    sizes = {word for word in words if re.fullmatch(r"\d+GB", word)}
    family = [device for device in GPUS.values() if device.name.split("-")[0] in words]
    matching = [device for device in family if device.name.split("-")[1] in sizes]
    if not sizes and len(family) == 1:  # "NVIDIA L40S": there is one size only
        matching = family
    if len(matching) != 1:
        return None
    return replace(matching[0], link=PCIE) if "PCIE" in words else matching[0]


def _with_figures(name: str, known: Device | None, figures: Mapping[str, Any]) -> Device:
    given = {
        "memory": ("memory_gb", 1e9),
        "flops": ("tflops", 1e12),
        "bandwidth": ("bandwidth_gb_per_second", 1e9),
        "link": ("link_gb_per_second", 1e9),
    }
    values = {field: figures[key] * unit for field, (key, unit) in given.items() if key in figures}
    if "memory" in values:
        values["memory"] = int(values["memory"])
    if known is not None:
        return replace(known, **values)
    missing = [key for field, (key, _) in given.items() if field not in values and field != "link"]
    if missing:
        raise UserError(
            f"hardware.gpu_type: `{name}` is not a GPU type we have figures for ({', '.join(GPUS)});"
            f" give its datasheet's {', '.join(missing)} in hardware.figures"
        )
    return Device(name=name, **values)
