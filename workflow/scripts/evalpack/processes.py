"""Processes: dying with the parent, and telling a live process from another with its number."""

import ctypes
import json
import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import psutil

OWNER = "EVALPACK_OWNER"
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)  # loaded now: a forked child should not load libraries


def own_jobs() -> None:
    """Make this process, Snakemake, the owner of the jobs it starts: they end with it."""
    os.environ[OWNER] = json.dumps(identity())


def die_with_workflow() -> None:
    """Make this process, a job, end when the Snakemake that started it is gone.

    Snakemake starts a script through a shell, and a SIGKILL of Snakemake alone leaves both running.
    The kernel signals the loss of the shell; a thread watches the owner.
    """
    end_with(os.getppid())
    owner = json.loads(os.environ.get(OWNER, "null"))
    if owner is not None and (owner["host"], owner["boot"]) == (socket.gethostname(), boot_id()):
        threading.Thread(target=_watch, args=(owner,), daemon=True).start()


def end_with(parent: int | None) -> None:
    """Have the kernel kill this process when its parent, or the thread that forked it, ends.

    Args:
        parent: the parent's id; if it is gone already, this process ends now. None: go on alone.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL if parent is not None else 0)
    if parent is not None and os.getppid() != parent:
        os._exit(1)


def owner_lives() -> bool:
    """Whether the workflow that owns this process still runs, as far as this machine can tell."""
    owner = json.loads(os.environ.get(OWNER, "null"))
    if owner is None or (owner["host"], owner["boot"]) != (socket.gethostname(), boot_id()):
        return True
    return is_alive(owner["pid"], owner["started"])


def _watch(owner: dict[str, Any]) -> None:
    while is_alive(owner["pid"], owner["started"]):
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)


def identity() -> dict[str, str | int | float]:
    """What tells this process from every other: host, boot, pid and start time (seconds)."""
    return {
        "host": socket.gethostname(),
        "boot": boot_id(),
        "pid": os.getpid(),
        "started": psutil.Process().create_time(),
    }


def process_began() -> float:
    """When this process began, in seconds of the epoch, to a hundredth (psutil knows it to a second)."""
    ticks = int(Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19])
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - age


def is_alive(pid: int, started: float) -> bool:
    """Whether the process with this number and start time (seconds) still runs on this machine."""
    try:
        process = psutil.Process(pid)
        return (
            abs(process.create_time() - started) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
        )
    except psutil.NoSuchProcess:
        return False


def boot_id() -> str:
    """The kernel's id of this boot: a pid of an earlier boot means nothing."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


_forker = 0


def end_with_parent() -> None:
    """Have every process that this one forks from now on end with it, or with its forking thread.

    Processes started as new programs (Popen, multiprocessing's spawn) are not reached.
    """
    global _forker  # noqa: PLW0603 - the hooks are the process's own, once and for all
    if not _forker:
        os.register_at_fork(before=_remember, after_in_child=_follow)
    _forker = os.getpid()


def _remember() -> None:
    global _forker  # noqa: PLW0603
    _forker = os.getpid()


def _follow() -> None:
    end_with(_forker)
