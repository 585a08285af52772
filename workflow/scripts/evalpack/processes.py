"""Processes: dying with the parent, and telling a live process from another with its number."""

import ctypes
import os
import signal
import socket
import threading
import time
from pathlib import Path

import psutil

_PR_SET_PDEATHSIG = 1


def die_with_workflow() -> None:
    """Make this process end when the workflow that started it is gone, whatever killed it.

    Snakemake starts a script through a shell, and a SIGKILL of Snakemake alone leaves both running.
    The kernel signals the loss of the direct parent; a thread watches the ancestors above it.
    """
    if hasattr(os, "uname") and os.uname().sysname == "Linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    ancestors = [a for a in psutil.Process().parents() if a.pid > 1]
    snakemake = [i for i, a in enumerate(ancestors) if _is_snakemake(a)]
    if snakemake:
        watched = ancestors[: snakemake[-1] + 1]
        threading.Thread(target=_watch, args=(watched,), daemon=True).start()


def _watch(ancestors: list[psutil.Process]) -> None:
    while all(is_alive(a.pid, a.create_time()) for a in ancestors):
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)


def _is_snakemake(process: psutil.Process) -> bool:
    try:
        return any("snakemake" in part for part in process.cmdline()[:3])
    except psutil.Error:
        return False


def identity() -> dict[str, str | int | float]:
    """What tells this process from every other: host, boot, pid and start time (seconds)."""
    return {
        "host": socket.gethostname(),
        "boot": boot_id(),
        "pid": os.getpid(),
        "started": psutil.Process().create_time(),
    }


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
