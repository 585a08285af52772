"""Calls into the driver, and processes that fork meanwhile.

An engine's processes are forked while a thread reads. A child that is forked in the middle of a
call into the driver would inherit its locks, closed for ever; so forks wait for the call to end.
"""

import os
import threading

_FORK_WAITS_SECONDS = 2.0
"""At most: a driver that hangs must not keep the job from starting its engine."""


class _Driver:
    """Held during every call into the driver, and by a thread that forks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forking = threading.local()
        os.register_at_fork(
            before=self._before, after_in_parent=self._after, after_in_child=self._in_child
        )

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def _before(self) -> None:
        self._forking.held = self._lock.acquire(timeout=_FORK_WAITS_SECONDS)

    def _after(self) -> None:
        if self._forking.held:
            self._lock.release()

    def _in_child(self) -> None:
        self._lock = threading.Lock()


driver = _Driver()
