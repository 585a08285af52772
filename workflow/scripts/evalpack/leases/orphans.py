"""What a dead job left behind: its children, which may still use its devices, and its claim.

A child is recognised in one of two ways. Started as a new program (Popen, multiprocessing's spawn),
it has the job's token in its environment. Forked, it shares the job's lock on its claim file. Both
can be read in /proc for processes of one's own user, and for no others.
"""

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable

from evalpack.leases import claims, processes
from evalpack.leases.folder import LeaseFolder
from evalpack.leases.processes import PROC, Process

TOKEN = "EVALPACK_LEASE"  # noqa: S105 - names a job, guards nothing
# vLLM renames its processes, and setproctitle wipes the environment in /proc unless this is set.
KEEP_ENVIRON = "SPT_NOENV"
_KILL_SECONDS = 2.0
_BETWEEN_LOOKS = 0.02


def environment(token: str) -> dict[str, str]:
    """What a job's environment must hold for its children to be recognised."""
    return {TOKEN: token, KEEP_ENVIRON: "1"}


def survivors(claim_name: str, since: int) -> tuple[list[Process], bool]:
    """The processes of this user that belong to a claim, other than ourselves.

    Args:
        claim_name: the claim file's name.
        since: clock ticks; older processes cannot be the job's children.

    Returns:
        The processes, and whether nobody else could be one: False while a program is just starting
        and shows neither files nor environment.
    """
    candidates = [
        process
        for process in processes.everyone()
        if process.uid == os.geteuid()
        and process.start >= since
        and process.alive
        and process.pid != os.getpid()
    ]
    verdicts = {process: _belongs(process.pid, claim_name) for process in candidates}
    found = [process for process, belongs in verdicts.items() if belongs]
    return found, None not in verdicts.values()


def end(claim_name: str, since: int, log: Callable[[str], object], whose: str) -> bool:
    """Kill the processes that belong to a claim; True when none is left.

    It looks until two looks in a row find nobody: one alone can miss a child forked meanwhile.
    """
    deadline = time.monotonic() + _KILL_SECONDS
    quiet = 0
    while quiet < 2:
        found, sure = survivors(claim_name, since)
        if (found or not sure) and time.monotonic() > deadline:
            return False  # in the driver, most likely; the next look may find it gone
        for process in found:
            if _kill(process, deadline):
                log(f"killed process {process.pid}, left behind by {whose}")
        quiet = quiet + 1 if sure and not found else 0
        if quiet < 2:
            time.sleep(_BETWEEN_LOOKS)
    return True


def sweep(folder: LeaseFolder, log: Callable[[str], object]) -> None:
    """Clear up after this user's dead jobs: their children first, then their claims.

    As long as a claim is there, its devices are given to nobody.
    """
    for name in claims.names(folder):
        claim = claims.read(folder, name)
        if claim is None:
            folder.remove_unlocked(name)  # its writer died before it could say anything
        elif claim.ours and not claims.is_alive(folder, claim):
            since = claim.start if claim.space == processes.space() else 0
            if end(name, since, log, f"{claim}, which is dead"):
                # Locked still: by a child that we cannot see. It, too, must go first.
                folder.remove_unlocked(name)


def _kill(process: Process, deadline: float) -> bool:
    """Kill exactly this process and wait for its end; False if it had gone by itself."""
    try:
        handle = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        # The handle is of whoever has the id now; from here on that cannot change.
        now = processes.find(process.pid)
        if now is None or now.start != process.start:
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        ended = select.poll()
        ended.register(handle, select.POLLIN)
        ended.poll(1000 * max(0.0, deadline - time.monotonic()))
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def _belongs(pid: int, claim_name: str) -> bool | None:
    """Whether a process belongs to a claim; None if it cannot be told yet."""
    # In this order: a program that starts loses the files of its parent before it shows its own
    # environment, so that no instant between the two looks can hide it.
    if _shares_lock(pid, claim_name):
        return True
    try:
        environ = (PROC / str(pid) / "environ").read_bytes()
        command = (PROC / str(pid) / "cmdline").read_bytes()
        if not environ and not command:
            (PROC / str(pid) / "exe").readlink()  # fails for a process that ends
            return None
    except OSError:
        return False
    # Python's tracker uses no device, ends with the last child and tidies up after all of them.
    tracker = b"multiprocessing.resource_tracker" in command
    entry = f"{TOKEN}={claims.token_of(claim_name)}".encode()
    return entry in environ.split(b"\0") and not tracker


def _shares_lock(pid: int, claim_name: str) -> bool:
    """Whether the process has the claim file open with its writer's lock, not just to look."""
    with contextlib.suppress(OSError):
        for entry in (PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                if claim_name == entry.readlink().name:
                    info = (PROC / str(pid) / "fdinfo" / entry.name).read_text()
                    locks = [line.split() for line in info.splitlines() if line.startswith("lock:")]
                    return any("FLOCK" in lock and "WRITE" in lock for lock in locks)
    return False
