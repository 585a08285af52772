"""Processes started before a job has its devices wait, and are known as the job's afterwards."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from evalpack import leases
from evalpack.engines.gate import ADDRESS, Gate
from evalpack.leases import orphans
from evalpack.warm.child import _take_over

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
WAITER = """
import os, sys
from evalpack.engines.gate import pass_through
print("waiting", flush=True)
pass_through()
print("passed", os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
sys.stdin.read()
"""
JOB = """
import os, sys, time
from evalpack.processes import end_with_parent
end_with_parent()
child = os.fork()
if child == 0:
    time.sleep(60)
    os._exit(0)
other = __import__("subprocess").Popen(["sleep", "60"])
print(child, other.pid, flush=True)
time.sleep(60)
"""


def start(code: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SCRIPTS), **environment},
    )


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def gone(pid: int) -> bool:
    for _ in range(100):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_it_waits_until_the_lease_is_there_and_is_known_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVALPACK_LEASE_DIR", str(tmp_path / "leases"))
    monkeypatch.setenv("EVALPACK_TEST_NVML", "pretended_gpus:TwoGpus")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    gate = Gate()
    early = start(WAITER, **gate.environment)
    assert said(early) == "waiting"
    time.sleep(0.3)
    assert early.poll() is None
    with leases.acquire(1, "job") as lease:
        claim = os.path.basename(os.readlink(f"/proc/self/fd/{lease.descriptor}"))  # noqa: PTH115, PTH119
        assert early.pid not in [p.pid for p in orphans.survivors(claim, 0)[0]]
        gate.open(lease.environment(), [lease.descriptor])
        late = start(WAITER, **gate.environment)
        assert said(early) == "passed GPU-0"
        assert [said(late), said(late)] == ["waiting", "passed GPU-0"]
        known = {process.pid for process in orphans.survivors(claim, 0)[0]}
        assert {early.pid, late.pid} <= known
        gate.close()
        for process in (early, late):
            process.communicate()


def test_what_it_says_goes_to_the_log_from_then_on(tmp_path: Path) -> None:
    gate, log = Gate(), os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    process = start(WAITER, **gate.environment)
    assert said(process) == "waiting"
    gate.open({"CUDA_VISIBLE_DEVICES": "7"}, [log, log])
    process.communicate()
    gate.close()
    assert (tmp_path / "log").read_text() == "passed 7\n"


def test_a_gate_that_closes_ends_who_waits_and_who_comes_later() -> None:
    gate = Gate()
    process = start(WAITER, **gate.environment)
    assert said(process) == "waiting"
    time.sleep(0.2)
    gate.close()
    assert process.wait(10) == 1
    late = start(WAITER, **gate.environment)
    assert late.wait(10) == 1
    gate.close()
    for ended in (process, late):
        ended.communicate()


def test_without_a_gate_there_is_nothing_to_wait_for() -> None:
    assert ADDRESS not in os.environ
    process = start(WAITER, CUDA_VISIBLE_DEVICES="3")
    assert [said(process), said(process)] == ["waiting", "passed 3"]
    process.communicate()


def test_forked_processes_end_with_the_one_that_forked_them() -> None:
    job = start(JOB)
    forked, started = map(int, said(job).split())
    job.send_signal(signal.SIGKILL)
    job.wait(10)
    assert gone(forked)
    assert psutil.pid_exists(started)  # a program of its own is not reached; leases know it
    os.kill(started, signal.SIGKILL)
    job.communicate()


def test_the_clients_environment_replaces_all_but_the_gate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The engine's processes may be forked after that: without the gate they would not wait."""
    for name in os.environ:
        monkeypatch.setenv(name, os.environ[name])  # all is put back afterwards
    monkeypatch.setenv(ADDRESS, "evalpack-here")
    monkeypatch.setenv("ONLY_THE_SERVER_HAS", "this")
    _take_over({"PATH": "/bin", "MKL_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"})
    taken = dict(os.environ)
    monkeypatch.undo()
    assert taken["PATH"] == "/bin"
    assert taken["OMP_NUM_THREADS"] == "2"
    assert taken[ADDRESS] == "evalpack-here"
    assert "ONLY_THE_SERVER_HAS" not in taken
    assert "MKL_NUM_THREADS" not in taken  # see engines/vllm.py
    assert taken["VLLM_NO_USAGE_STATS"] == "1"
