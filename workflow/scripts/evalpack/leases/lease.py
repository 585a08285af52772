"""Taking devices for as long as a `with` block lasts."""

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

from evalpack.errors import UserError
from evalpack.leases import devices, orphans, sick
from evalpack.leases.claims import OwnClaim
from evalpack.leases.devices import HARDWARE, VISIBLE, Allowed
from evalpack.leases.folder import LeaseFolder
from evalpack.leases.nvml import Device, Nvml, open_nvml
from evalpack.leases.placement import Placement
from evalpack.leases.waiting import wait

MAX_WAIT_SECONDS = 1800.0
GRACE_SECONDS = 2.0

Log = Callable[[str], object]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lease:
    """Devices that are this job's alone; empty for the CPU slot.

    Attributes:
        descriptor: of the claim's file. A process that was started before the lease is known as
            this job's child while it has a duplicate of it open, and `marks` in its environment.
        marks: variables by which the job's children are recognised.
    """

    devices: tuple[Device, ...]
    descriptor: int
    marks: Mapping[str, str]

    def environment(self) -> dict[str, str]:
        """What to put into os.environ before CUDA is touched; empty for the CPU slot."""
        if not self.devices:
            return {}
        uuids = ",".join(device.uuid for device in self.devices)
        return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", VISIBLE: uuids}


def usable_devices(allowed: Allowed = None) -> tuple[Device, ...]:
    """The GPUs that jobs of this process may lease, free or not; empty where the CPU is the slot.

    Raises:
        UserError: the driver is out of order, or CUDA_VISIBLE_DEVICES or `allowed` names no GPU.
    """
    with closing(open_nvml()) as nvml:
        return _usable(nvml, allowed)


def clean_up(log: Log = _logger.info) -> None:
    """End what dead jobs of this user have left running on this machine, without taking anything.

    Waiting jobs do so anyway; this is for the end of a run, when nobody waits any more.

    Raises:
        UserError: the lease folder is not safe.
    """
    with closing(LeaseFolder.open()) as folder:
        orphans.sweep(folder, log)


def report_fault(lease: Lease, reason: str) -> bool:
    """Have other GPUs tried first for a while, if a job failed for these GPUs' sake.

    Args:
        lease: of the job.
        reason: why it failed, in the words of the driver or of CUDA.

    Returns:
        Whether the reason says that a GPU is at fault.
    """
    if not lease.devices or not sick.is_fault(reason):
        return False
    with closing(LeaseFolder.open()) as folder:
        sick.note(folder, lease.devices, reason)
    return True


@contextmanager
def acquire(
    count: int,
    holder: str,
    allowed: Allowed = None,
    max_wait: float = MAX_WAIT_SECONDS,
    log: Log = _logger.info,
) -> Iterator[Lease]:
    """Wait for `count` devices, all or none, and have them until the block ends.

    On a machine without GPU the lease is the one CPU slot, whatever the count. Call it from the
    main thread and before any helper process is started: children are known as this job's by what
    they inherit from here on. Those still running when the block ends get two seconds to end by
    themselves and are killed then: the work is done, and an engine that hangs in its shutdown would
    keep the devices for good. If this process is killed, the next job to wait kills them.

    Args:
        count: how many devices, 1 or more.
        holder: what others are told about who has the devices, such as `llama3.1-8b 1-of-2`.
        allowed: `hardware.gpus` of the config, see devices.usable.
        max_wait: seconds; on a CPU they count only while no living job is in front.
        log: is told of waiting, taking and cleaning up.

    Raises:
        LeaseTimeout: the devices did not become free in time; a UserError.
        UserError: more devices are asked for than there are, or the lease folder is not safe.
    """
    with ExitStack() as stack:
        # Only while we wait: the engine's processes, forked later, open the driver themselves.
        with closing(open_nvml()) as nvml:
            pool = _usable(nvml, allowed)
            _check(count, pool, holder)
            folder = stack.enter_context(closing(LeaseFolder.open()))
            placement = Placement(folder, nvml, pool, count if pool else 1, log)
            claim = OwnClaim(folder, holder, placement.count, placement.pool)
            stack.callback(_give_back, placement, claim, log)
            wait(placement, claim, holder, max_wait, log)
        log(f"{holder} leases {', '.join(map(str, placement.chosen)) or 'the CPU'}")
        marks = orphans.environment(claim.token)
        stack.enter_context(_in_environment(marks))
        yield Lease(placement.chosen, claim.descriptor, marks)


def _usable(nvml: Nvml, allowed: Allowed) -> tuple[Device, ...]:
    return devices.usable(nvml.devices(), os.environ.get(VISIBLE), allowed)


def _check(count: int, pool: tuple[Device, ...], holder: str) -> None:
    if count < 1:
        raise ValueError(f"a lease is for one device or more, not {count}")
    if pool and count > len(pool):
        there = ", ".join(map(str, pool))
        raise UserError(
            f"{holder} needs {count} GPUs and may use only {len(pool)} ({there}); lower its tensor "
            f"parallel size, or allow more in {HARDWARE} or {VISIBLE}."
        )


def _give_back(placement: Placement, claim: OwnClaim, log: Log) -> None:
    """End what the job has left running, then let go of claim and devices."""
    if os.getpid() != claim.pid:
        return  # a forked child that leaves its parent's block: the lease is not its own
    gone = False
    try:
        deadline = time.monotonic() + GRACE_SECONDS
        while orphans.survivors(claim.name, claim.start)[0] and time.monotonic() < deadline:
            time.sleep(0.05)
        gone = orphans.end(claim.name, claim.start, log, "this job, which is done")
    finally:
        if gone:
            claim.withdraw()
        # Else the claim stays and keeps the devices from others until the processes are gone.
        placement.release()
        claim.close()


@contextmanager
def _in_environment(variables: dict[str, str]) -> Iterator[None]:
    """Set variables for our children, and put things back afterwards."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
