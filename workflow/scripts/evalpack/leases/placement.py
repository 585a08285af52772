"""One attempt to take devices for the job at the head of the line: all that it wants, or none."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from evalpack.leases import claims, orphans, sick
from evalpack.leases.claims import OwnClaim
from evalpack.leases.folder import LeaseFolder, lock_name, unlock
from evalpack.leases.memory import MemoryWatch
from evalpack.leases.nvml import Device, Nvml
from evalpack.leases.topology import choose

CPU_SLOT = "cpu"


@dataclass
class Placement:
    """Takes `count` of the devices, or the CPU slot where there are none.

    Attributes:
        held: the slots taken so far, with the descriptors of their locks.
    """

    folder: LeaseFolder
    nvml: Nvml
    devices: Sequence[Device]
    count: int
    log: Callable[[str], object]
    held: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin to watch the memory."""
        self._watch = MemoryWatch(self.nvml)

    @property
    def pool(self) -> tuple[str, ...]:
        """The slots of which some are wanted: device UUIDs, or the CPU."""
        return tuple(device.uuid for device in self.devices) or (CPU_SLOT,)

    @property
    def chosen(self) -> tuple[Device, ...]:
        """The devices taken; empty for the CPU slot."""
        return tuple(device for device in self.devices if device.uuid in self.held)

    def attempt(self, claim: OwnClaim) -> bool:
        """Try once; True if the slots are ours now."""
        orphans.sweep(self.folder, self.log)
        locks = {slot: fd for slot in self.pool if (fd := self.folder.lock(slot)) is not None}
        try:
            # Read after locking: who had the lock before us has said so in a claim by now.
            blocked = self.obstacles(ours=locks)
            free = [slot for slot in locks if slot not in blocked]
            if len(free) < self.count:
                return False
            slots = self._choose(free)
            claim.take(slots)
            self.held = {slot: locks.pop(slot) for slot in slots}
            return True
        finally:
            for fd in locks.values():
                unlock(fd)

    def obstacles(self, ours: Collection[str] = ()) -> dict[str, str]:
        """Why slots cannot be taken now, as the ends of sentences about them.

        Args:
            ours: the slots whose locks we hold at the moment.
        """
        blocked: dict[str, str] = {}
        for slot in self.pool:
            if slot not in ours and self.folder.is_locked(lock_name(slot)):
                blocked[slot] = "is locked by a process that says nothing about itself"
        for claim in claims.read_all(self.folder):
            if claims.is_alive(self.folder, claim):
                blocked |= dict.fromkeys(claim.taken, f"is leased by {claim}")
            elif claim.ours:  # a dead job of another user leaves its lock and its memory to go by
                text = f"was leased by {claim}, which is dead but has left processes behind"
                blocked |= dict.fromkeys(claim.taken, text)
        for uuid, complaint in sick.complaints(self.folder, self.devices, self.count).items():
            blocked.setdefault(uuid, complaint)
        for device in self.devices:
            if device.uuid in blocked:
                self._watch.forget(device)
            elif objection := self._watch.objection(device):
                blocked[device.uuid] = objection
        return blocked

    def release(self) -> None:
        """Give the slots back, whichever forked children still have the locks open."""
        for fd in self.held.values():
            unlock(fd)
        self.held = {}

    def _choose(self, free: Sequence[str]) -> tuple[str, ...]:
        if not self.devices:
            return (CPU_SLOT,)
        devices = [device for device in self.devices if device.uuid in free]
        return tuple(device.uuid for device in choose(devices, self.count, self.nvml))
