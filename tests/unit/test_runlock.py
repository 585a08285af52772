"""One owner a run: a live one is refused to others, a dead one is taken over."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evalpack import processes, runlock
from evalpack.atomic import read_json, write_json
from evalpack.errors import UserError
from evalpack.runlock import RunLock, current_owner

OWNER = """
import sys, time
from pathlib import Path
from evalpack.runlock import RunLock
lock = RunLock(Path(sys.argv[1]))
lock.acquire()
print(lock.token, flush=True)
if sys.argv[2] == "stay":
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runlock, "HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(runlock, "STALE_SECONDS", 1.5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "run.lock"


@pytest.fixture
def lock(path: Path) -> Iterator[RunLock]:
    lock = RunLock(path)
    yield lock
    lock.release()


def start(path: Path, then: str = "stay") -> tuple[subprocess.Popen[str], str]:
    """A process that takes the run, and its token."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(path), then], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    return owner, owner.stdout.readline().strip()


def end(owner: subprocess.Popen[str]) -> None:
    owner.kill()
    owner.communicate()


def note(path: Path, **changes: Any) -> dict[str, Any]:
    """A lock file that another process could have left."""
    of = {**processes.identity(), "token": "other", "since": "2026-11-23T01:02:03Z", "beat": 0}
    write_json(path, {**of, **changes})
    return {**of, **changes}


def test_a_free_run_is_taken_and_given_up_again(lock: RunLock) -> None:
    lock.acquire()
    assert lock.is_mine()
    assert current_owner(lock.path) == lock.token
    lock.release()
    assert not lock.path.exists()
    assert current_owner(lock.path) == ""


def test_a_live_owner_is_refused_in_words(lock: RunLock) -> None:
    owner, token = start(lock.path)
    try:
        with pytest.raises(UserError) as caught:
            lock.acquire()
        assert f"process {owner.pid} on {processes.identity()['host']}" in str(caught.value)
        assert "choose another `run` name" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert current_owner(lock.path) == token
    finally:
        end(owner)


def test_an_owner_that_was_killed_is_taken_over(lock: RunLock) -> None:
    owner, token = start(lock.path)
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    assert current_owner(lock.path) == token
    lock.acquire()
    assert current_owner(lock.path) == lock.token


def test_an_owner_that_was_killed_and_not_yet_reaped_is_taken_over(lock: RunLock) -> None:
    owner, _ = start(lock.path)
    owner.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, owner.pid, os.WEXITED | os.WNOWAIT)
    lock.acquire()
    assert lock.is_mine()
    owner.communicate()


def test_an_owner_that_ended_by_itself_leaves_no_lock(path: Path) -> None:
    owner, token = start(path, then="end")
    owner.communicate()
    assert token
    assert not path.exists()


def test_another_process_with_the_number_of_the_owner_is_not_the_owner(lock: RunLock) -> None:
    parent = processes.psutil.Process(os.getppid())
    note(lock.path, pid=parent.pid, started=parent.create_time() - 100)
    lock.acquire()
    assert lock.is_mine()


def test_an_owner_of_an_earlier_boot_is_taken_over_though_its_number_lives(lock: RunLock) -> None:
    parent = processes.psutil.Process(os.getppid())
    note(lock.path, pid=parent.pid, started=parent.create_time(), boot="an earlier one")
    lock.acquire()
    assert lock.is_mine()


def test_an_owner_elsewhere_whose_heart_stands_still_is_taken_over(lock: RunLock) -> None:
    note(lock.path, host="elsewhere", beat=7)
    lock.acquire()
    assert lock.is_mine()


def test_an_owner_elsewhere_whose_heart_beats_is_refused(lock: RunLock) -> None:
    left = note(lock.path, host="elsewhere")
    stop = threading.Event()

    def beat() -> None:
        count = 0
        while not stop.wait(0.1):
            count += 1
            write_json(lock.path, {**left, "beat": count})

    heart = threading.Thread(target=beat)
    heart.start()
    try:
        with pytest.raises(UserError, match="on elsewhere, since 2026-11-23T01:02:03Z"):
            lock.acquire()
    finally:
        stop.set()
        heart.join()
    assert current_owner(lock.path) == "other"


def test_an_owner_elsewhere_that_gives_up_while_watched_is_followed(lock: RunLock) -> None:
    note(lock.path, host="elsewhere")
    leaving = threading.Timer(0.3, lock.path.unlink)
    leaving.start()
    lock.acquire()
    leaving.join()
    assert lock.is_mine()


def test_the_heart_of_an_owner_beats(lock: RunLock) -> None:
    lock.acquire()
    deadline = time.monotonic() + 5
    while read_json(lock.path)["beat"] < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert read_json(lock.path)["beat"] >= 2
    assert lock.is_mine()


def test_of_two_that_start_at_once_one_gets_the_run(path: Path) -> None:
    """Both find the lock of a dead owner, and both write before either looks again."""
    note(path, host=processes.identity()["host"], boot="an earlier one")
    together = threading.Barrier(2)
    refused: list[str] = []
    locks = [RunLock(path), RunLock(path)]

    def take(lock: RunLock) -> None:
        together.wait()
        try:
            lock.acquire()
        except UserError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=take, args=(lock,)) for lock in locks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert [lock.is_mine() for lock in locks].count(True) == 1
        assert len(refused) == 1
        assert "at the same moment" in refused[0]
    finally:
        for lock in locks:
            lock.release()


def test_release_leaves_the_lock_of_another_alone(path: Path) -> None:
    note(path)
    RunLock(path).release()
    assert current_owner(path) == "other"


def test_a_damaged_lock_file_holds_nobody_up(lock: RunLock) -> None:
    lock.path.parent.mkdir(parents=True)
    lock.path.write_text('{"host": ')
    lock.acquire()
    assert lock.is_mine()
