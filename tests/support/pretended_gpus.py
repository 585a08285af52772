"""A driver that tells of idle GPUs, for jobs that run vLLM's CPU build as if it had some.

Put in by EVALPACK_TEST_NVML=pretended_gpus:TwoGpus.
"""

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
