"""What outlives a killed job is ended before anybody else gets its devices."""

import fcntl
import os
import time

import pytest
from lease_worker import Machine, lives

from evalpack import leases
from evalpack.leases import orphans

KINDS = ["fork", "daemon", "popen", "spawn", "renamed"]


@pytest.fixture
def machine(tmp_path, monkeypatch):
    machine = Machine(tmp_path / "machine", gpus=2)
    for name, value in machine.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return machine


@pytest.mark.parametrize("kind", KINDS)
def test_a_child_that_outlives_its_killed_job_is_ended_first(machine, kind):
    if kind == "renamed":
        pytest.importorskip("setproctitle")
    said_of = []
    with machine.holding(2, "doomed", kind) as (job, said):
        while len(machine.events("begin")) < 1:
            time.sleep(0.01)
        job.kill()
        job.wait()
        assert lives(said["child"])
        with leases.acquire(2, "next", max_wait=10, log=said_of.append):
            assert not lives(said["child"])
    assert f"killed process {said['child']}, left behind by doomed" in "\n".join(said_of)


def test_a_child_killed_with_its_job_while_it_was_starting_is_found(machine):
    for _ in range(5):
        with machine.holding(2, kind="popen") as (job, said):
            job.kill()  # its child has hardly begun to load its interpreter
            with leases.acquire(2, "next", max_wait=10):
                assert not lives(said["child"])


def test_the_end_of_a_run_can_clear_up_without_taking_anything(machine):
    with machine.holding(2, kind="popen") as (job, said):
        job.kill()
        job.wait()
        leases.clean_up()
        assert not lives(said["child"])
    assert not list(machine.leases.glob("claim-*"))


def test_children_of_a_living_job_are_left_alone(machine):
    with machine.holding(1, kind="popen") as (_, said):
        leases.clean_up()
        with leases.acquire(1, "other"):
            pass
        assert lives(said["child"])
        leases.clean_up()
        os.kill(said["child"], 9)


def test_a_process_that_only_looks_at_a_claim_does_not_belong_to_it(machine):
    with machine.holding(2) as (job, _):
        job.kill()
        job.wait()
        (claim,) = machine.leases.glob("claim-*")
        onlooker = os.fork()
        if not onlooker:
            fcntl.flock(os.open(claim, os.O_RDONLY), fcntl.LOCK_SH)
            time.sleep(20)
            os._exit(0)
        time.sleep(0.1)
        found, sure = orphans.survivors(claim.name, 0)
        assert onlooker not in [process.pid for process in found]
        assert sure
        os.kill(onlooker, 9)
        os.waitpid(onlooker, 0)


def test_a_job_that_cannot_be_cleared_away_keeps_its_devices_from_others(machine, monkeypatch):
    monkeypatch.setattr(orphans, "_kill", lambda *_: False)
    monkeypatch.setattr(orphans, "_KILL_SECONDS", 0.1)
    with machine.holding(1, "doomed", "popen") as (job, said):
        while len(machine.events("begin")) < 1:
            time.sleep(0.01)
        job.kill()
        job.wait()
        with leases.acquire(1, "next", max_wait=1) as lease:
            assert [device.uuid for device in lease.devices] == ["GPU-1"]
        with (
            pytest.raises(leases.LeaseTimeout, match=r"GPU-0\) was leased by doomed .* is dead"),
            leases.acquire(2, "wide", max_wait=0.2),
        ):
            pass
        os.kill(said["child"], 9)


def edit(claim, old, new):
    """Change a claim in place, as its lock belongs to the file."""
    text = claim.read_text()
    assert old in text
    with claim.open("r+") as file:
        file.write(text.replace(old, new))
        file.truncate()


def test_a_claim_whose_process_id_passed_on_to_another_process_is_dead(machine):
    with machine.holding(2) as (job, _):
        job.kill()
        job.wait()
        (claim,) = machine.leases.glob("claim-*")
        edit(claim, f'"pid": {job.pid}', f'"pid": {os.getppid()}')
        with leases.acquire(2, "next", max_wait=5):
            assert lives(os.getppid())


def test_a_job_in_another_container_lives_as_long_as_its_lock(machine):
    with machine.holding(2) as (job, _):
        (claim,) = machine.leases.glob("claim-*")
        edit(claim, '"space": "', '"space": "elsewhere ')
        with (
            pytest.raises(leases.LeaseTimeout, match="is leased by other"),
            leases.acquire(1, "next", max_wait=0.1),
        ):
            pass
        job.kill()
        with leases.acquire(2, "next", max_wait=5):
            assert not claim.exists()
