"""An engine on its way, before the job has its devices."""

import os
import threading
from collections.abc import Iterable

from evalpack.engines.base import Engine, EngineSpec, Request
from evalpack.engines.factory import load_engine
from evalpack.engines.gate import Gate
from evalpack.leases import Lease
from evalpack.processes import end_with_parent


class Loading:
    """Starts an engine up to its gate; a lease opens it.

    The thread that starts the engine lives as long as the process: the kernel ends an engine's
    processes when the thread that forked them ends.
    """

    def __init__(self, spec: EngineSpec, requests: Iterable[Request]) -> None:
        """Begin to start the engine of `spec`, which will be asked `requests`."""
        self.spec, self.requests = spec, requests
        self._gate = Gate()
        os.environ.update(self._gate.environment)
        end_with_parent()
        self._ready = threading.Event()
        self._engine: Engine | None = None
        self._error: BaseException | None = None
        threading.Thread(target=self._load, daemon=True, name="engine").start()

    def finish(self, lease: Lease, log: int | None = None) -> Engine:
        """Open the gate and wait for the engine.

        Args:
            lease: the job's devices.
            log: descriptor of the job's log, which the engine's processes write to from here on.

        Raises:
            EngineFailure: if it could not be loaded.
        """
        os.environ.update(lease.environment())
        marks = {**lease.environment(), **lease.marks}
        self._gate.open(marks, [lease.descriptor, *([log] if log is not None else [])])
        self._ready.wait()
        self._gate.close()
        if self._error is not None:
            raise self._error
        assert self._engine is not None  # noqa: S101 - there is either an engine or an error
        return self._engine

    def abandon(self) -> None:
        """Let the engine's processes end at the gate."""
        self._gate.close()

    def _load(self) -> None:
        try:
            self._engine = load_engine(self.spec, self.requests)
        except BaseException as error:
            self._error = error
        self._ready.set()
        threading.Event().wait()
