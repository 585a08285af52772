"""A driver that tells of idle GPUs, for jobs that run vLLM's CPU build as if it had some.

Put in by EVALPACK_TEST_NVML=pretended_gpus:TwoGpus (or SlurmNode).
"""

import os

from evalpack.leases import Device


class TwoGpus:
    def devices(self) -> tuple[Device, ...]:
        return tuple(Device(f"GPU-{i}", i, 80 << 30, "NVIDIA H100 80GB HBM3") for i in range(2))

    def used_bytes(self, device: Device) -> int:
        return 0

    def linked(self, one: Device, other: Device) -> bool:
        return True

    def distance(self, one: Device, other: Device) -> int:
        return 0

    def close(self) -> None:
        pass


class SlurmNode(TwoGpus):
    """Four GPUs of the SLURM node that the job is on: several nodes are one machine in the tests."""

    def devices(self) -> tuple[Device, ...]:
        node = os.environ.get("SLURMD_NODENAME", "login")
        memory, name = 80 << 30, "NVIDIA H100 80GB HBM3"
        return tuple(Device(f"GPU-{node}-{i}", i, memory, name) for i in range(4))
