"""GPU types: what a plan needs to know of them, and the names that NVML gives them."""

import re
from dataclasses import dataclass

from evalpack.errors import UserError

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Device:
    """What jobs run on: memory in bytes, dense bfloat16 FLOP/s, memory bandwidth in bytes/s.

    `memory` is what CUDA reports, a little under the label; FLOP/s and bandwidth are the
    datasheet's. `max_num_seqs` is the batch that vLLM takes there by default.
    """

    name: str
    memory: int
    flops: float
    bandwidth: float
    max_num_seqs: int = 256


GPUS = {
    gpu.name: gpu
    for gpu in (
        Device("A100-40GB", int(39.3 * GIB), 312e12, 1.555e12),
        Device("A100-80GB", int(79.1 * GIB), 312e12, 2.039e12),
        Device("H100-80GB", int(79.1 * GIB), 989e12, 3.35e12, max_num_seqs=1024),
        Device("H200-141GB", int(139.7 * GIB), 989e12, 4.8e12, max_num_seqs=1024),
        Device("L40S-48GB", int(44.3 * GIB), 362e12, 0.864e12),
    )
}

# Two cores of a development machine, from 260 tokens/s of a 135M model; its memory is not planned.
CPU = Device("CPU", 0, 0.12e12, 20e9)


def gpu(name: str) -> Device:
    """The GPU type that a name means: one of ours, or NVML's (`NVIDIA A100-SXM4-80GB`).

    Raises:
        UserError: if the name is none we have figures for, or a MIG slice.
    """
    words = re.split(r"[\s_-]+", name.upper().replace("NVIDIA", "").strip())
    sizes = {word for word in words if re.fullmatch(r"\d+GB", word)}
    family = [device for device in GPUS.values() if device.name.split("-")[0] in words]
    matching = [device for device in family if device.name.split("-")[1] in sizes]
    if not sizes and len(family) == 1:  # "NVIDIA L40S": there is one size only
        matching = family
    if len(matching) != 1 or "MIG" in words:
        raise UserError(
            f"hardware.gpu_type: `{name}` is not a GPU type we have figures for;"
            f" name the nearest of {', '.join(GPUS)} that has no more memory"
        )
    return matching[0]
