"""Processes: none outlives its workflow, none is taken for another that has its number."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from evalpack.processes import identity, is_alive

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

    def __init__(self, folder: Path, name: str) -> None:
        ready, worker = folder / "ready", folder / "worker.py"
        worker.write_text(WORKER)
        top = folder / name
        top.write_text(WORKFLOW)
        self.workflow = subprocess.Popen(
            [sys.executable, str(top), str(worker), str(ready)], start_new_session=True
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
    tree = Tree(tmp_path, "snakemake.py")
    try:
        tree.workflow.send_signal(signal.SIGKILL)  # and not reaped: it stays a zombie
        assert tree.worker_ends(within=5)
    finally:
        tree.end()


def test_a_worker_ends_when_its_shell_is_killed(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "snakemake.py")
    try:
        tree.shell.kill()
        assert tree.worker_ends(within=5)
    finally:
        tree.end()


def test_a_worker_lives_while_its_workflow_does(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "snakemake.py")
    try:
        assert not tree.worker_ends(within=1.2)
    finally:
        tree.end()


def test_a_program_that_is_no_workflow_may_leave_without_its_worker(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "launcher.py")
    try:
        tree.workflow.send_signal(signal.SIGKILL)
        tree.workflow.wait()
        assert not tree.worker_ends(within=1.2)
    finally:
        tree.end()


def test_a_worker_ends_also_if_its_workflow_goes_while_it_is_looked_at() -> None:
    code = f"""
import subprocess, psutil
from evalpack.processes import _watch

class Going(psutil.Process):
    def is_running(self):
        alive = super().is_running()
        child.kill()
        child.wait()
        return alive

child = subprocess.Popen({SLEEP!r})
_watch([Going(child.pid)])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
