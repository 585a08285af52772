"""The gate: an engine starts up to the point where it needs a device, and waits there.

Configuring an engine and starting its processes takes seconds and no device. They are started
before the job has its GPUs; each of them stops at the gate (`GatedWorker`), which the job opens
with its lease: which devices are its own, the claim that marks the process as the job's, and the
job's log.
"""

import contextlib
import os
import socket
import threading
from collections.abc import Mapping

from evalpack.warm import protocol

ADDRESS = "EVALPACK_GATE"


class Gate:
    """The job's side: made before the engine's processes are, opened once."""

    def __init__(self) -> None:
        """Begin to listen, in a thread of its own; processes started from now on find the gate."""
        self._server, address = protocol.listen()
        self.environment = {ADDRESS: address}
        self._opened = threading.Event()
        self._lock = threading.Lock()
        self._ticket: dict[str, str] | None = None
        self._descriptors: list[int] = []
        self._waiting: list[socket.socket] = []
        threading.Thread(target=self._run, daemon=True, name="gate").start()

    def open(self, environment: Mapping[str, str], descriptors: list[int]) -> None:
        """Let all through, those who come later as well.

        Args:
            environment: variables that they set before they touch a device.
            descriptors: of the job's claim, and of its log; both stay open in them.
        """
        with self._lock:
            self._ticket, self._descriptors = dict(environment), descriptors
            for connection in self._waiting:
                self._let_through(connection)

    def close(self) -> None:
        """Turn away all who have not passed: their processes end."""
        with self._lock:
            for connection in self._waiting:
                connection.close()
            self._waiting.clear()
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            if not protocol.ours(connection):
                connection.close()
                continue
            with self._lock:
                if self._ticket is not None:
                    self._let_through(connection)
                else:
                    self._waiting.append(connection)

    def _let_through(self, connection: socket.socket) -> None:
        protocol.send(connection, {"environment": self._ticket}, self._descriptors)
        connection.close()


def pass_through() -> None:
    """In an engine's process: wait until the gate opens, and take what is handed over.

    The process ends if the job is gone. Without a gate there is nothing to wait for.
    """
    address = os.environ.get(ADDRESS)
    if address is None:
        return
    connection = protocol.connect(address)
    message, descriptors = protocol.receive(connection) if connection else (None, [])
    if message is None:
        os._exit(1)
    os.environ.update(message["environment"])
    for descriptor in descriptors[1:]:  # the claim's stays open: it marks us as the job's
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
