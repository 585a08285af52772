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


def own_jobs() -> None:
    """Make this process, Snakemake, the owner of the jobs it starts: they end with it."""
    os.environ[OWNER] = json.dumps(identity())


def die_with_workflow() -> None:
    """Make this process, a job, end when the Snakemake that started it is gone.

    Snakemake starts a script through a shell, and a SIGKILL of Snakemake alone leaves both running.
    The kernel signals the loss of the shell; a thread watches the owner.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    owner = json.loads(os.environ.get(OWNER, "null"))
    if owner is not None and (owner["host"], owner["boot"]) == (socket.gethostname(), boot_id()):
        threading.Thread(target=_watch, args=(owner,), daemon=True).start()


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
