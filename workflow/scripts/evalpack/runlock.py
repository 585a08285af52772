"""One owner a run: `<run>/run.lock` names the Snakemake process that works on it.

Snakemake's own lock cannot tell a dead owner from a live one; this one can, on one machine by the
process, across machines by a heartbeat. It relies on rename alone, so it works on NFS.
"""

import atexit
import contextlib
import os
import secrets
import signal
import threading
import time
from pathlib import Path
from typing import Any

from evalpack import processes
from evalpack.atomic import read_json, write_json
from evalpack.errors import UserError

HEARTBEAT_SECONDS = 5.0
# An owner on another machine counts as dead when its heartbeat stands still for so long.
STALE_SECONDS = 30.0


class RunLock:
    """The ownership of a run by this process; released at exit, or by death."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.token = secrets.token_hex(8)
        self._stop = threading.Event()

    def acquire(self) -> None:
        """Take the run.

        Raises:
            UserError: if another process that lives owns it.
        """
        owner = read_json(self.path)
        if owner is not None and _lives(owner, self.path):
            raise UserError(
                f"another snakemake is working on this run: process {owner['pid']} on"
                f" {owner['host']}, since {owner['since']}. Let it finish, or stop it, or choose"
                f" another `run` name ({self.path})"
            )
        self._write(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
        # Two that take over at once: the later rename wins, the other sees it and withdraws.
        time.sleep(0.2)
        if not self.is_mine():
            raise UserError(f"another snakemake took this run at the same moment ({self.path})")
        atexit.register(self.release)
        threading.Thread(target=self._beat, daemon=True).start()

    def is_mine(self) -> bool:
        """Whether the lock file still names this process."""
        owner = read_json(self.path)
        return bool(owner is not None and owner["token"] == self.token)

    def release(self) -> None:
        """Give the run up; harmless if it is not held."""
        self._stop.set()
        if self.is_mine():
            self.path.unlink(missing_ok=True)

    def _write(self, since: str) -> None:
        self._owner = {**processes.identity(), "token": self.token, "since": since}
        write_json(self.path, {**self._owner, "beat": 0})

    def _beat(self) -> None:
        beat = 0
        while not self._stop.wait(HEARTBEAT_SECONDS):
            beat += 1
            with contextlib.suppress(OSError):  # a full disk may have room at the next beat
                if self.is_mine():
                    write_json(self.path, {**self._owner, "beat": beat})
                elif current_owner(self.path) and not self._stop.is_set():
                    # Somebody took this run for dead: two owners would be worse than none.
                    os.kill(os.getpid(), signal.SIGTERM)


def current_owner(path: Path) -> str:
    """Token of the run's present owner, or an empty text."""
    owner = read_json(path)
    return str(owner["token"]) if owner else ""


def alive(path: Path) -> bool:
    """Whether a workflow works on the run; an owner on another machine counts as alive."""
    owner = read_json(path)
    if owner is None:
        return False
    return owner["host"] != processes.identity()["host"] or _lives(owner, path)


def _lives(owner: dict[str, Any], path: Path) -> bool:
    here = processes.identity()
    if owner["host"] == here["host"]:
        if owner["boot"] != here["boot"]:
            return False
        return owner["pid"] != os.getpid() and processes.is_alive(owner["pid"], owner["started"])
    # Clocks of two machines cannot be compared: watch whether the heartbeat moves.
    deadline = time.monotonic() + STALE_SECONDS
    while time.monotonic() < deadline:
        time.sleep(1.0)
        now = read_json(path)
        if now is None:
            return False
        if now["beat"] != owner["beat"] or now["token"] != owner["token"]:
            return True
    return False
