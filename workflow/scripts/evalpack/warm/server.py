"""The process that jobs fork from.

    python -m evalpack.warm.server DESCRIPTOR RUN

It listens on a socket that the workflow opened, has no threads, and opens no device.
"""

import contextlib
import gc
import itertools
import os
import selectors
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalpack import leases, processes
from evalpack.atomic import read_json
from evalpack.errors import UserError
from evalpack.jobs import RunSpec
from evalpack.paths import RunPaths
from evalpack.warm import ahead, child, protocol
from evalpack.warm.preload import preload

_POLL_SECONDS = 0.5
_PATIENCE_SECONDS = 5.0
_MOST_AHEAD = 2
"""Jobs prepared at a time: as many as are likely to be started at once."""


@dataclass
class _Child:
    """A job's process; `name` while it is prepared and waits for its client."""

    control: socket.socket
    rule: str
    name: str | None


class Server:
    """Forks jobs on request, and prepares those that come next."""

    def __init__(self, listener: socket.socket, run: Path) -> None:
        self._listener, self._paths = listener, RunPaths(run)
        self._spec = RunSpec.load(self._paths.plan)
        self._children: dict[int, _Child] = {}
        self._begun: set[str] = set()
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        try:
            slots = len(leases.usable_devices(self._spec.hardware["allowed"]))
        except UserError:  # jobs will say what is wrong with the driver
            slots = 0
        self._most_ahead = min(slots, _MOST_AHEAD)

    def serve(self) -> None:
        """Serve until the workflow is gone."""
        while processes.owner_lives():
            for key, _ in self._selector.select(_POLL_SECONDS):
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    self._hear(key.data)
            self._reap()

    def _accept(self) -> None:
        """Give a client a process that does its job."""
        connection, _ = self._listener.accept()
        with connection:
            if not protocol.ours(connection):
                return
            connection.settimeout(_PATIENCE_SECONDS)
            request, _ = protocol.receive(connection)
            connection.settimeout(None)
            if request is None or request["prefix"] != sys.prefix:
                return
            protocol.send(connection, {"accepted": True})
            task = request["task"]
            self._begun.add(ahead.name(task))
            prepared = self._take(ahead.name(task))
            descriptors = [connection.fileno()]
            if prepared is None or not protocol.send(prepared, request, descriptors):
                protocol.send(self._fork(task), request, descriptors)

    def _take(self, name: str) -> socket.socket | None:
        """The connection to the process that was prepared for a task."""
        self._reap()
        for known in self._children.values():
            if known.name == name:
                known.name = None
                return known.control
        return None

    def _fork(self, task: dict[str, Any], name: str | None = None) -> socket.socket:
        """Fork a process for a task; with a name, one that prepares for it."""
        mine, theirs = protocol.pair()
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            self._selector.close()
            self._listener.close()
            mine.close()
            for other in self._children.values():
                other.control.close()
            child.main(theirs, task, ahead=name is not None)
        theirs.close()
        self._children[pid] = _Child(mine, task["rule"], name)
        self._selector.register(mine, selectors.EVENT_READ, pid)
        return mine

    def _hear(self, pid: int) -> None:
        """A job says that it generates: now is the time to prepare the next ones."""
        known = self._children.get(pid)
        if known is None:
            return  # it was found dead a moment ago
        message, _ = protocol.receive(known.control)
        if message is None:
            self._forget(pid)
        elif message.get("phase") == "generating" and known.rule == "generate":
            self._prepare()

    def _prepare(self) -> None:
        waiting = {known.name for known in self._children.values() if known.name is not None}
        tasks = ahead.upcoming(self._spec, self._paths, self._begun | waiting)
        for task in itertools.islice(tasks, max(0, self._most_ahead - len(waiting))):
            self._fork(task, ahead.name(task))

    def _forget(self, pid: int) -> None:
        known = self._children.pop(pid, None)
        if known is not None:
            self._selector.unregister(known.control)
            known.control.close()

    def _reap(self) -> None:
        """Take note of processes that have ended."""
        with contextlib.suppress(ChildProcessError):
            while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
                self._forget(pid)


def main() -> None:
    """Import, then serve."""
    processes.end_with(os.getppid())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the workflow's to handle
    listener = socket.socket(fileno=int(sys.argv[1]))
    run = Path(sys.argv[2])
    plan: dict[str, Any] = read_json(RunPaths(run).plan, default={})
    preload(plan)
    gc.collect()
    gc.freeze()  # what is here stays, and stays shared with the jobs
    Server(listener, run).serve()


if __name__ == "__main__":
    main()
