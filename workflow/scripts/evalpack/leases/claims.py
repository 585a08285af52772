"""Claims: who waits for devices, in which order, and who has them.

A claim is a file `claim-<time>-<token>` that a job makes when it begins to wait and removes when it
has given its devices back. The time (nanoseconds since boot) is its place in the line. The file
holds one JSON line about the job and, from the moment it is served, one about its devices. Its
writer keeps it locked and so do, unknowingly, the children that it forks.
"""

import fcntl
import json
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from evalpack.leases import processes
from evalpack.leases.folder import LeaseFolder, unlock

_NAME = re.compile(r"claim-\d{20}-([0-9a-f]{32})")


@dataclass(frozen=True)
class Claim:
    """What a claim file says; written by another user it is hearsay, good for messages and order.

    Attributes:
        uid: who owns the file, from the file system.
        holder: what the job calls itself.
        start, space: see processes.Process.start and processes.space.
        since: when it was served, or began to wait (UTC).
        count: how many slots it wants.
        pool: the slots (device UUIDs, or `cpu`) of which it wants them.
        taken: the slots it was given; empty while it waits.
    """

    name: str
    uid: int
    holder: str
    pid: int
    start: int
    space: str
    host: str
    since: str
    count: int
    pool: tuple[str, ...]
    taken: tuple[str, ...] = ()

    @property
    def token(self) -> str:
        """What the job's children carry in their environment."""
        return token_of(self.name)

    @property
    def ours(self) -> bool:
        """Whether it belongs to this user."""
        return self.uid == os.geteuid()

    def __str__(self) -> str:
        return f"{self.holder} (pid {self.pid} on {self.host}, since {self.since})"


class OwnClaim:
    """This process's claim, from the first wait until the devices are given back."""

    def __init__(self, folder: LeaseFolder, holder: str, count: int, pool: Sequence[str]) -> None:
        """Join the end of the line.

        Raises:
            UserError: the folder cannot be written to.
        """
        self._folder = folder
        self.pid = os.getpid()
        me = processes.find(self.pid)
        self.start = me.start if me else 0
        self.name, self._fd = self._create(
            {
                "holder": holder,
                "pid": self.pid,
                "start": self.start,
                "space": processes.space(),
                "host": socket.gethostname(),
                "since": _now(),
                "count": count,
                "pool": list(pool),
            }
        )

    @property
    def token(self) -> str:
        """What this job's children carry in their environment."""
        return token_of(self.name)

    @property
    def descriptor(self) -> int:
        """Of the locked file: processes that share it count as this job's."""
        return self._fd

    def take(self, slots: Sequence[str]) -> None:
        """Say which slots are ours now. Their locks are held by us already."""
        _append(self._fd, {"taken": list(slots), "since": _now()})

    def withdraw(self) -> None:
        """Remove the claim: nothing is left of this job."""
        self._folder.remove(self.name)

    def close(self) -> None:
        """Let go of the file's lock."""
        unlock(self._fd)

    def _create(self, said: dict[str, Any]) -> tuple[str, int]:
        while True:
            name = f"claim-{time.monotonic_ns():020}-{secrets.token_hex(16)}"
            fd = self._folder.create(name)
            fcntl.flock(fd, fcntl.LOCK_EX)
            _append(fd, said)
            # Empty and not yet locked, it may have been swept away as a dead job's.
            if os.fstat(fd).st_nlink:
                return name, fd
            os.close(fd)


def token_of(name: str) -> str:
    """The random part of a claim's name."""
    return name.rpartition("-")[2]


def names(folder: LeaseFolder) -> list[str]:
    """The claim files, first come first."""
    return [name for name in folder.names() if _NAME.fullmatch(name)]


def read_all(folder: LeaseFolder) -> Iterator[Claim]:
    """All claims that can be read, first come first."""
    return (claim for name in names(folder) if (claim := read(folder, name)))


def read(folder: LeaseFolder, name: str) -> Claim | None:
    """One claim; None if it is gone, or not (yet) a claim."""
    found = folder.read(name)
    if found is None:
        return None
    text, uid = found
    try:
        # A line without its end is still being written.
        first, *later = [json.loads(line) for line in text.split("\n")[:-1]]
        said = first | (later[-1] if later else {})
        return Claim(
            name=name,
            uid=uid,
            holder=_printable(said["holder"]),
            pid=int(said["pid"]),
            start=int(said["start"]),
            space=str(said["space"]),
            host=_printable(said["host"]),
            since=_printable(said["since"]),
            count=int(said["count"]),
            pool=tuple(map(str, said["pool"])),
            taken=tuple(map(str, said.get("taken", ()))),
        )
    except (ValueError, KeyError, TypeError):
        return None


def is_alive(folder: LeaseFolder, claim: Claim) -> bool:
    """Whether the process that made the claim lives.

    Its process id says so where it means something to us; elsewhere (another container, a hidden
    process) the file's lock does, which a surviving forked child would also hold.
    """
    if claim.space and claim.space == processes.space():
        process = processes.find(claim.pid)
        if process:
            return process.start == claim.start and process.alive
        if claim.ours or not processes.hidden():
            return False
    return folder.is_locked(claim.name)


def ahead_of(folder: LeaseFolder, mine: str, pool: Sequence[str]) -> Iterator[Claim]:
    """The living claims that wait in front of ours for some of the same slots, first come first.

    A job stopped by Ctrl-Z keeps its place but holds nobody up.
    """
    for name in names(folder):
        if name >= mine:
            return
        claim = read(folder, name)
        if claim is None or claim.taken or not set(claim.pool) & set(pool):
            continue
        if is_alive(folder, claim) and not _is_stopped(claim):
            yield claim


def _append(fd: int, line: dict[str, Any]) -> None:
    os.write(fd, json.dumps(line).encode() + b"\n")


def _is_stopped(claim: Claim) -> bool:
    process = processes.find(claim.pid) if claim.space == processes.space() else None
    return process is not None and process.stopped


def _printable(text: object) -> str:
    return "".join(c if c.isprintable() else "?" for c in str(text))[:200]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
