"""acquire(): who gets which devices, in which order, and what those are told who get none."""

import contextlib
import json
import os
import signal
import threading
import time

import pytest
from lease_worker import GIB, Machine, lives

from evalpack import leases
from evalpack.errors import UserError
from evalpack.leases import memory


@pytest.fixture
def machine(tmp_path, monkeypatch):
    machine = Machine(tmp_path / "machine", gpus=4)
    for name, value in machine.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return machine


@pytest.fixture
def no_gpus(machine):
    (machine.root / "gpus.json").write_text("[]")
    return machine


def uuids(lease):
    return [device.uuid for device in lease.devices]


def queued(machine, label):
    """Wait until a job stands in line."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        for claim in machine.leases.glob("claim-*"):
            lines = claim.read_text().splitlines()
            if len(lines) == 1 and json.loads(lines[0])["holder"] == label:
                return
        time.sleep(0.01)
    raise AssertionError(f"{label} never queued")


def test_a_lease_names_its_devices_to_cuda_by_uuid(machine):
    with leases.acquire(2, "job") as lease:
        assert uuids(lease) == ["GPU-0", "GPU-1"]
        assert lease.environment()["CUDA_VISIBLE_DEVICES"] == "GPU-0,GPU-1"


def test_a_second_job_gets_other_devices(machine):
    with machine.holding(2), leases.acquire(2, "job") as lease:
        assert uuids(lease) == ["GPU-2", "GPU-3"]


def test_all_or_none_are_given_and_the_timeout_says_who_has_them(machine):
    with (
        machine.holding(1, "llama 1-of-2") as (holder, _),
        pytest.raises(leases.LeaseTimeout) as error,
        leases.acquire(4, "wide", max_wait=0.2),
    ):
        pass
    message = str(error.value)
    assert "wide has waited 0 s for 4 of 4 GPUs" in message
    assert f"GPU 0 (GPU-0) is leased by llama 1-of-2 (pid {holder.pid} on " in message
    assert "GPU 3 (GPU-3) is free" in message
    assert isinstance(error.value, UserError)


def test_devices_are_free_again_when_the_block_ends_badly(machine):
    with pytest.raises(ZeroDivisionError), leases.acquire(4, "job"):
        _ = 1 / 0
    with leases.acquire(4, "next", max_wait=1) as lease:
        assert len(lease.devices) == 4
    assert not list(machine.leases.glob("claim-*"))


def test_the_environment_is_as_before_when_the_block_ends(machine):
    before = dict(os.environ)
    with leases.acquire(1, "job"):
        assert os.environ["EVALPACK_LEASE"]
    assert dict(os.environ) == before


def test_more_devices_than_there_are_is_an_error_at_once(machine):
    with (
        pytest.raises(UserError, match="wide needs 5 GPUs and may use only 4"),
        leases.acquire(5, "wide"),
    ):
        pass


def test_only_visible_devices_are_leased(machine, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-1")
    assert [device.index for device in leases.usable_devices()] == [1, 3]
    with leases.acquire(2, "job") as lease:
        assert uuids(lease) == ["GPU-1", "GPU-3"]
    with leases.acquire(1, "job", allowed=["GPU-3", "GPU-0"]) as lease:
        assert uuids(lease) == ["GPU-3"]


def test_a_device_in_foreign_use_is_passed_over(machine):
    machine.foreign("GPU-0", 3 * GIB)
    with leases.acquire(1, "job") as lease:
        assert uuids(lease) == ["GPU-1"]
    with (
        pytest.raises(leases.LeaseTimeout, match=r"GPU-0\) has 3.0 GiB in use"),
        leases.acquire(4, "wide", max_wait=0.1),
    ):
        pass


def test_a_little_foreign_memory_is_tolerated_once_it_stands_still(machine):
    machine.foreign("GPU-0", 0.9 * GIB)
    begun = time.monotonic()
    with leases.acquire(4, "job", max_wait=5):
        assert time.monotonic() - begun >= memory.STEADY_SECONDS


def test_a_device_that_drains_is_given_when_it_is_empty(machine):
    file = machine.foreign("GPU-0", 40 * GIB)
    drained = threading.Timer(0.3, file.unlink)
    drained.start()
    with leases.acquire(4, "job", max_wait=5):
        assert not file.exists()
    drained.join()


def test_memory_that_stays_is_called_foreign_after_the_patience_for_draining(machine, monkeypatch):
    machine.foreign("GPU-2", 2 * GIB)
    for patience, words in ((15.0, "or is still being freed"), (0.0, "by others than evalpack")):
        monkeypatch.setattr(memory, "DRAIN_SECONDS", patience)
        with (
            pytest.raises(leases.LeaseTimeout, match=words),
            leases.acquire(4, "job", max_wait=0.1),
        ):
            pass


def test_a_narrow_job_does_not_overtake_a_wide_one_that_waits(machine):
    with machine.holding(1), machine.start("hold", 4, "none", "wide") as wide:
        queued(machine, "wide")
        with (
            pytest.raises(leases.LeaseTimeout, match=r"ahead in line: wide .*, who wants 4"),
            leases.acquire(1, "narrow", max_wait=0.3),
        ):
            pass
        wide.kill()


def test_a_wide_job_among_a_stream_of_narrow_ones_is_served(machine):
    stream = [machine.start("repeat", 1, f"narrow {i}") for i in range(6)]
    try:
        while len(machine.events("leased")) < 12:
            time.sleep(0.02)
        begun = time.monotonic()
        with leases.acquire(4, "wide", max_wait=20):
            pass
        overtook = [event for event in machine.events("leased") if event["at"] > begun]
        # Those already in line may go first; after the wide one they may go again.
        assert len(overtook) <= 2 * len(stream)
    finally:
        for process in stream:
            process.kill()
            process.communicate()


def test_a_waiting_job_that_is_killed_holds_nobody_up(machine):
    with machine.holding(1), machine.start("hold", 4, "none", "wide") as wide:
        queued(machine, "wide")
        wide.kill()
        with leases.acquire(1, "narrow", max_wait=5):
            pass
    assert len(list(machine.leases.glob("claim-*"))) == 1, "the dead job's place is cleared away"


def test_a_waiting_job_that_is_stopped_keeps_its_place_but_holds_nobody_up(machine):
    with machine.holding(1) as (holder, _), machine.start("hold", 4, "none", "wide") as wide:
        queued(machine, "wide")
        try:
            got = False
            for _ in range(10):
                wide.send_signal(signal.SIGSTOP)
                # Stopped in the middle of a try it holds what it had got by then: let it finish that.
                with (
                    contextlib.suppress(leases.LeaseTimeout),
                    leases.acquire(1, "narrow", max_wait=3),
                ):
                    got = True
                wide.send_signal(signal.SIGCONT)
                if got:
                    break
            assert got
            holder.kill()
            said = json.loads(wide.stdout.readline())
            assert said["uuids"] == ["GPU-0", "GPU-1", "GPU-2", "GPU-3"]
        finally:
            wide.kill()


def test_jobs_that_want_different_devices_do_not_wait_for_each_other(machine, monkeypatch):
    with (
        machine.holding(1, CUDA_VISIBLE_DEVICES="0"),
        machine.start("hold", 1, "none", "second", CUDA_VISIBLE_DEVICES="0") as second,
    ):
        queued(machine, "second")
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
        with leases.acquire(1, "elsewhere", max_wait=5) as lease:
            assert uuids(lease) == ["GPU-1"]
        second.kill()


def test_children_left_running_are_ended_with_the_block(machine):
    with machine.holding(4, kind="popen") as (process, said):
        process.stdin.close()
        assert process.wait(timeout=20) == 0
        assert not lives(said["child"])
    with leases.acquire(4, "next", max_wait=1):
        pass


def test_a_forked_child_that_leaves_the_block_does_not_give_the_lease_back(machine):
    block = leases.acquire(4, "parent")
    block.__enter__()
    child = os.fork()
    if not child:
        block.__exit__(None, None, None)
        os._exit(0)
    os.waitpid(child, 0)
    with (
        pytest.raises(leases.LeaseTimeout, match="is leased by parent"),
        leases.acquire(1, "other", max_wait=0.1),
    ):
        pass
    block.__exit__(None, None, None)


def test_without_a_gpu_the_cpu_is_the_one_slot(no_gpus):
    with leases.acquire(2, "job") as lease, no_gpus.start("hold", 4, "none", "second") as second:
        assert lease.devices == ()
        assert lease.environment() == {}
        queued(no_gpus, "second")
        second.kill()


def test_the_cpu_slot_of_a_killed_job_is_free(no_gpus):
    with no_gpus.holding(1, kind="popen") as (holder, said):
        holder.kill()
        with leases.acquire(1, "next", max_wait=5):
            assert not lives(said["child"])


def test_on_a_cpu_a_living_engine_is_waited_for_beyond_max_wait(no_gpus):
    with no_gpus.holding(1) as (holder, _):
        threading.Timer(0.6, holder.kill).start()
        begun = time.monotonic()
        with leases.acquire(1, "job", max_wait=0.1):
            assert time.monotonic() - begun > 0.3


def test_waiting_is_told_with_its_reason(machine):
    said = []
    with (
        machine.holding(4, "llama"),
        pytest.raises(leases.LeaseTimeout),
        leases.acquire(1, "job", max_wait=0.2, log=said.append),
    ):
        pass
    assert len(said) == 1
    assert said[0].startswith(
        "job has waited 0 s for 1 of 4 GPUs: GPU 0 (GPU-0) is leased by llama"
    )
