"""GPUs that failed a job by themselves: passed over for a while, so that a retry meets another one.

A note is a file `sick-<uuid>` that the failed job leaves in the lease folder, with the time since
boot and the reason. Only one's own notes count: others' are hearsay.
"""

import json
import os
import re
import time
from collections.abc import Iterable, Sequence

from evalpack.leases.folder import LeaseFolder
from evalpack.leases.nvml import Device

SECONDS = 600.0
"""How long a GPU is passed over."""
_FAULTS = re.compile(
    r"uncorrectable|ECC error|fallen off the bus|hardware error|unspecified launch failure"
    r"|CUDA error: (unknown error|initialization error|system not)|CUDA-capable device\(s\) is/are busy"
    r"|no CUDA-capable device|NVLink.*error|device unavailable",
    re.IGNORECASE,
)


def is_fault(reason: str) -> bool:
    """Whether a failure says that the GPU, and neither memory nor the model, is what failed."""
    return _FAULTS.search(reason) is not None


def note(folder: LeaseFolder, devices: Iterable[Device], reason: str) -> None:
    """Say that these devices failed a job."""
    for device in devices:
        folder.remove(_name(device.uuid))
        said = {"at": time.clock_gettime(time.CLOCK_BOOTTIME), "reason": reason[:200]}
        try:
            descriptor = folder.create(_name(device.uuid))
        except FileExistsError:
            continue  # another job says so at this moment
        os.write(descriptor, json.dumps(said).encode())
        os.close(descriptor)


def complaints(folder: LeaseFolder, devices: Sequence[Device], count: int) -> dict[str, str]:
    """Why devices are passed over, as the ends of sentences about them, by UUID.

    None is where too few others would be left: a doubtful GPU is better than none.

    Args:
        folder: the lease folder.
        devices: of which some are wanted.
        count: how many.
    """
    found: dict[str, str] = {}
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    for device in devices:
        said = folder.read(_name(device.uuid))
        if said is None or said[1] != os.geteuid():
            continue
        try:
            noted = json.loads(said[0])
            age = now - float(noted["at"])
        except (ValueError, KeyError, TypeError):
            continue
        if 0 <= age < SECONDS:
            found[device.uuid] = f"failed a job {age:.0f} s ago ({noted['reason']})"
        else:
            folder.remove(_name(device.uuid))
    return found if len(devices) - len(found) >= count else {}


def _name(uuid: str) -> str:
    return f"sick-{uuid}"
