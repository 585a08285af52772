"""GPU leases: which of this machine's devices a job may use, and for how long.

    with leases.acquire(count=2, holder="llama3.1-8b 1-of-2") as lease:
        os.environ.update(lease.environment())  # before CUDA is touched
        ...

A device is given to one job at a time, whatever is killed and in whatever order, by three means:

- a kernel lock (flock) on a file per device, which dies with its holder (folder.py);
- a claim: a file in which the job says who it is and which devices it has. It outlives its writer,
  so that the next job can look for what a dead one left behind (claims.py);
- every process that a job starts can be recognised as its own, and is ended before its devices
  are given to somebody else (orphans.py).

Waiting jobs are served in the order in which they came. Devices are passed over while others use
their memory (memory.py), NVLink neighbours are preferred (topology.py), and a GPU that failed a job
is tried last (sick.py). A machine without a GPU has one slot, its CPU.

What cannot be seen: jobs with another lease folder (containers with a /tmp of their own), children
that cleared their environment and closed their files, and children of another user's dead job.
Where they use a device's memory, it is passed over all the same.
"""

from evalpack.leases.lease import Lease, acquire, clean_up, report_fault, usable_devices
from evalpack.leases.nvml import Device
from evalpack.leases.waiting import LeaseTimeout

__all__ = [
    "Device",
    "Lease",
    "LeaseTimeout",
    "acquire",
    "clean_up",
    "report_fault",
    "usable_devices",
]
