"""Engines that are started side by side."""

import os
import threading
from functools import partial
from pathlib import Path

import pytest
from filelock import FileLock

from evalpack.engines.parallel import start_side_by_side


def test_all_are_started_though_another_thread_locks_files(tmp_path: Path) -> None:
    """filelock lets nobody fork while it opens a lock; each start goes through all the same."""
    done = threading.Event()

    def lock() -> None:
        while not done.is_set():
            with FileLock(tmp_path / "lock"):
                pass

    exits: list[int] = []

    def fork() -> None:
        for _ in range(20):
            pid = os.fork()
            if pid == 0:
                os._exit(0)
            exits.append(os.waitpid(pid, 0)[1])

    thread = threading.Thread(target=lock)
    thread.start()
    try:
        start_side_by_side([fork, fork])
    finally:
        done.set()
        thread.join()
    assert len(exits) >= 40
    assert not any(exits)


def test_a_refused_fork_is_tried_again() -> None:
    """The second try counts."""
    tries: list[str] = []

    def start(name: str) -> None:
        tries.append(name)
        if tries.count(name) == 1:
            raise RuntimeError("os.fork is unsafe while filelock is changing descriptor ownership")

    start_side_by_side([partial(start, "first"), partial(start, "second")])
    assert sorted(tries) == ["first", "first", "second", "second"]


@pytest.mark.parametrize("which", [0, 1])
def test_another_failure_is_raised_when_all_have_ended(which: int) -> None:
    """Whoever fails, the other has ended, and nobody is run twice."""
    ended: list[int] = []

    def start(number: int) -> None:
        ended.append(number)
        if number == which:
            raise ValueError("no such model")

    with pytest.raises(ValueError, match="no such model"):
        start_side_by_side([partial(start, 0), partial(start, 1)])
    assert sorted(ended) == [0, 1]
