"""Processes by name: a process id alone may have passed on to another process."""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROC = Path("/proc")
_KERNEL_THREAD = 0x00200000


@dataclass(frozen=True)
class Process:
    """One entry of the process table.

    Attributes:
        start: clock ticks from boot to its start; with `pid` it names the process for good.
        uid: the user, or root for a process that hides itself from its user.
        alive: False once it and all its threads have let go of files and devices (a zombie).
        stopped: by SIGSTOP or Ctrl-Z.
    """

    pid: int
    start: int
    uid: int
    alive: bool
    stopped: bool


def find(pid: int) -> Process | None:
    """The process with this id; None if there is none, we may not see it, or it is the kernel's."""
    try:
        uid = (PROC / str(pid)).stat().st_uid
        stat = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The name stands in brackets and may itself hold brackets and blanks; see proc_pid_stat(5).
    fields = stat.rpartition(")")[2].split()
    state, flags, threads, start = fields[0], int(fields[6]), int(fields[17]), int(fields[19])
    if flags & _KERNEL_THREAD:
        return None
    # The first thread of a dying process turns zombie while others still hold its files.
    dead = state in "ZXx" and threads <= 1
    return Process(pid, start, uid, not dead, state == "T")


def everyone() -> list[Process]:
    """The whole process table, as far as we may see it."""
    try:
        ids = [int(entry.name) for entry in os.scandir(PROC) if entry.name.isdigit()]
    except OSError:
        return []
    return [process for pid in ids if (process := find(pid))]


@cache
def space() -> str:
    """Names the table in which our process ids mean something: this boot, this pid namespace.

    Empty where there is no /proc; then locks alone say who is alive.
    """
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{(PROC / 'self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def hidden() -> bool:
    """Whether other users' processes are hidden from us (/proc mounted with hidepid)."""
    return find(1) is None
