"""Processes: none outlives its workflow, none is taken for another that has its number."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from evalpack.processes import OWNER, identity, is_alive

WORKER = """
import sys, time
from pathlib import Path
from evalpack.processes import die_with_workflow
die_with_workflow()
Path(sys.argv[1]).write_text("ready")
time.sleep(60)
"""
# What runs a worker through a shell, as Snakemake does; `; true` keeps the shell from exec'ing it.
WORKFLOW = """
import subprocess, sys
from evalpack.processes import own_jobs
if sys.argv[3:] == ["owner"]:
    own_jobs()
subprocess.call(["sh", "-c", '"$0" "$1" "$2"; true', sys.executable, sys.argv[1], sys.argv[2]])
"""
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_this_process_is_alive() -> None:
    me = identity()
    assert is_alive(int(me["pid"]), float(me["started"]))


def test_a_process_that_got_the_number_later_is_not_the_one_meant() -> None:
    me = identity()
    assert not is_alive(int(me["pid"]), float(me["started"]) - 60)


def test_a_process_that_ended_is_not_alive_reaped_or_not() -> None:
    child = subprocess.Popen(SLEEP)
    started = psutil.Process(child.pid).create_time()
    assert is_alive(child.pid, started)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(child.pid, started)
    child.wait()
    assert not is_alive(child.pid, started)


def test_the_identity_names_host_boot_and_start() -> None:
    me = identity()
    assert me["boot"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert abs(float(me["started"]) - psutil.Process().create_time()) < 1
    assert me["host"]


class Tree:
    """A workflow, its shell and a worker below it: three real processes."""

    def __init__(self, folder: Path, *, owner: bool = True) -> None:
        ready, worker = folder / "ready", folder / "worker.py"
        worker.write_text(WORKER)
        top = folder / "workflow.py"
        top.write_text(WORKFLOW)
        self.workflow = subprocess.Popen(
            [sys.executable, top, worker, ready, *(["owner"] if owner else [])],
            start_new_session=True,
            env={k: v for k, v in os.environ.items() if k != OWNER},
        )
        while not ready.exists():
            assert self.workflow.poll() is None
            time.sleep(0.02)
        self.shell, self.worker = psutil.Process(self.workflow.pid).children(recursive=True)

    def worker_ends(self, within: float) -> bool:
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            if not self.worker.is_running() or self.worker.status() == psutil.STATUS_ZOMBIE:
                return True
            time.sleep(0.05)
        return False

    def end(self) -> None:
        for process in (self.worker, self.shell):
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self.workflow.kill()
        self.workflow.wait()


def test_a_worker_ends_when_the_workflow_above_its_shell_is_killed(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    try:
        tree.workflow.send_signal(signal.SIGKILL)  # and not reaped: it stays a zombie
        assert tree.worker_ends(within=5)
    finally:
        tree.end()


def test_a_worker_ends_when_its_shell_is_killed(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    try:
        tree.shell.kill()
        assert tree.worker_ends(within=5)
    finally:
        tree.end()


def test_a_worker_lives_while_its_workflow_does(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    try:
        assert not tree.worker_ends(within=1.2)
    finally:
        tree.end()


def test_a_program_that_owns_no_jobs_may_leave_without_its_worker(tmp_path: Path) -> None:
    tree = Tree(tmp_path, owner=False)
    try:
        tree.workflow.send_signal(signal.SIGKILL)
        tree.workflow.wait()
        assert not tree.worker_ends(within=1.2)
    finally:
        tree.end()


@pytest.mark.parametrize("elsewhere", [{"host": "another"}, {"boot": "an earlier one"}])
def test_a_worker_does_not_look_here_for_an_owner_that_is_elsewhere(
    tmp_path: Path, elsewhere: dict[str, str]
) -> None:
    """On another machine the owner's number means nothing; there Slurm or SSH ends the job."""
    gone = {**identity(), "pid": 2**22 + 1, **elsewhere}
    ready = tmp_path / "ready"
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, ready], env={**os.environ, OWNER: json.dumps(gone)}
    )
    try:
        while not ready.exists() and worker.poll() is None:
            time.sleep(0.02)
        time.sleep(0.7)
        assert worker.poll() is None
    finally:
        worker.kill()
        worker.wait()


@pytest.mark.parametrize("change", [{"pid": 2**22 + 1}, {"started": 1.0}])
def test_a_worker_whose_owner_is_gone_before_it_looks_ends_at_once(
    tmp_path: Path, change: dict[str, float]
) -> None:
    gone = json.dumps({**identity(), **change})
    command = [sys.executable, "-c", WORKER, str(tmp_path / "ready")]
    done = subprocess.run(command, env={**os.environ, OWNER: gone}, timeout=20, check=False)
    assert done.returncode == -signal.SIGKILL


def test_a_worker_ends_also_if_its_owner_goes_while_it_is_looked_at() -> None:
    code = f"""
import subprocess, psutil
from evalpack.processes import _watch

class Going(psutil.Process):
    def create_time(self):
        started = super().create_time()
        child.kill()
        child.wait()
        return started

child = subprocess.Popen({SLEEP!r})
owner = {{"pid": child.pid, "started": psutil.Process(child.pid).create_time()}}
psutil.Process = Going
_watch(owner)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
