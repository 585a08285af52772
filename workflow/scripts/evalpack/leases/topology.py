"""Which of the free GPUs to take: close together, and without breaking up what is linked."""

from collections.abc import Sequence
from itertools import combinations

from evalpack.leases.nvml import Device, Nvml


def choose(free: Sequence[Device], count: int, nvml: Nvml) -> tuple[Device, ...]:
    """Choose `count` of the free devices, in NVML's order.

    First come as many NVLink pairs among the chosen as possible; then as few links as possible from
    them to the free ones that stay behind, so that a narrow job leaves linked groups whole; then
    nearness on the PCI tree; then the lowest indices.
    """
    ordered = sorted(free, key=lambda device: device.index)
    links = {frozenset(pair) for pair in combinations(ordered, 2) if nvml.linked(*pair)}

    def cost(chosen: tuple[Device, ...]) -> tuple[int, int, int]:
        inside = [frozenset(pair) for pair in combinations(chosen, 2)]
        left = [device for device in ordered if device not in chosen]
        cut = sum(frozenset((mine, other)) in links for mine in chosen for other in left)
        spread = sum(
            nvml.distance(*sorted(pair, key=lambda device: device.index)) for pair in inside
        )
        return -sum(pair in links for pair in inside), cut, spread

    return min(combinations(ordered, count), key=cost)
