"""The folder that all users share: nothing planted in it leads us astray."""

import contextlib
import os
import shutil
import stat
import sys
import tempfile
import traceback
from pathlib import Path

import pytest
from lease_worker import Machine

from evalpack import leases
from evalpack.errors import UserError

NOBODY = 65534


@pytest.fixture
def machine(monkeypatch):
    # Not tmp_path: another user must be able to look into it.
    root = Path(tempfile.mkdtemp())
    root.chmod(0o755)
    machine = Machine(root / "machine", gpus=2)
    for name, value in machine.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    yield machine
    shutil.rmtree(root)


def lease_all(max_wait=0.2):
    with leases.acquire(2, "job", max_wait=max_wait) as lease:
        assert len(lease.devices) == 2


@contextlib.contextmanager
def another_user(task):
    """Run a task as nobody; yields a function that waits for its end and says whether it passed."""
    sys.stdout.flush()
    child = os.fork()
    if not child:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            task()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    try:
        yield lambda: os.waitpid(child, 0)[1] == 0
    finally:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(child, 9)
            os.waitpid(child, 0)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def test_a_new_folder_can_be_shared_as_tmp_is(machine):
    lease_all()
    assert stat.S_IMODE(machine.leases.stat().st_mode) == 0o1777


def test_locks_can_be_opened_by_others_whatever_the_umask(machine):
    before = os.umask(0o077)
    try:
        lease_all()
    finally:
        os.umask(before)
    assert {stat.S_IMODE(file.stat().st_mode) for file in machine.leases.iterdir()} == {0o644}


def test_a_link_in_place_of_the_folder_is_refused(machine, tmp_path):
    machine.leases.symlink_to(tmp_path)
    with pytest.raises(UserError, match="must be a real folder, not a link"):
        lease_all()
    assert not list(tmp_path.iterdir())


def test_a_file_in_place_of_the_folder_is_refused(machine):
    machine.leases.touch()
    with pytest.raises(UserError, match=str(machine.leases)):
        lease_all()


def test_a_folder_in_which_others_could_replace_our_files_is_refused(machine):
    machine.leases.mkdir()
    machine.leases.chmod(0o777)
    with pytest.raises(UserError, match="chmod 1777"):
        lease_all()


def test_a_link_in_place_of_a_lock_is_refused_and_not_followed(machine, tmp_path):
    machine.leases.mkdir()
    treasure = tmp_path / "treasure"
    treasure.write_text("gold")
    for target in (treasure, tmp_path / "new"):
        (machine.leases / "GPU-1.lock").symlink_to(target)
        with pytest.raises(UserError, match=r"GPU-1.lock is not a plain file"):
            lease_all()
        (machine.leases / "GPU-1.lock").unlink()
    assert treasure.read_text() == "gold"
    assert list(tmp_path.iterdir()) == [treasure]


def test_a_hard_link_in_place_of_a_lock_is_refused(machine, tmp_path):
    machine.leases.mkdir()
    treasure = machine.root / "treasure"
    treasure.write_text("gold")
    treasure.chmod(0o600)
    (machine.leases / "GPU-1.lock").hardlink_to(treasure)
    with pytest.raises(UserError, match=r"GPU-1.lock is not a plain file"):
        lease_all()
    assert treasure.read_text() == "gold"
    assert stat.S_IMODE(treasure.stat().st_mode) == 0o600


def test_a_pipe_in_place_of_a_lock_is_refused_and_blocks_nobody(machine):
    machine.leases.mkdir()
    os.mkfifo(machine.leases / "GPU-0.lock")
    with pytest.raises(UserError, match=r"GPU-0.lock is not a plain file"):
        lease_all()


def test_rubbish_that_looks_like_claims_is_passed_over(machine, tmp_path):
    machine.leases.mkdir()
    (tmp_path / "treasure").write_text("gold")
    rubbish = ["\0\xff", "{}\n", "[]\n", '{"holder": 1}\n', "1\n2\n", '{"pid": "x"}\n']
    for number, text in enumerate(rubbish):
        (machine.leases / f"claim-{number:020}-{number:032x}").write_text(text)
    (machine.leases / f"claim-{7:020}-{7:032x}").symlink_to(tmp_path / "treasure")
    os.mkfifo(machine.leases / f"claim-{8:020}-{8:032x}")
    (machine.leases / "notes.txt").write_text("not ours")
    lease_all()
    assert (tmp_path / "treasure").read_text() == "gold"
    assert (machine.leases / "notes.txt").read_text() == "not ours"


def test_a_lock_file_removed_under_its_holder_does_not_give_the_device_twice(machine):
    with machine.holding(1):
        (machine.leases / "GPU-0.lock").unlink()
        with pytest.raises(leases.LeaseTimeout, match=r"GPU-0\) is leased by other"):
            lease_all()


def test_a_claim_removed_under_its_holder_does_not_give_the_device_twice(machine):
    with machine.holding(1):
        next(machine.leases.glob("claim-*")).unlink()
        with pytest.raises(leases.LeaseTimeout, match=r"GPU-0\) is locked by a process"):
            lease_all()


@needs_root
def test_users_share_the_devices_of_a_machine(machine):
    with leases.acquire(1, "roots job"):

        def too_wide():
            with pytest.raises(leases.LeaseTimeout, match="is leased by roots job"):
                lease_all()

        with another_user(too_wide) as passed:
            assert passed()

    lease_all()  # and has made all files; nobody can lock them nonetheless
    with another_user(lambda: lease_all(max_wait=5)) as passed:
        assert passed()
    lease_all()


@needs_root
def test_what_another_users_dead_job_left_behind_blocks_nobody(machine):
    def die_holding():
        with leases.acquire(2, "nobodys job"):
            os._exit(1)

    lease_all()
    with another_user(die_holding) as passed:
        assert not passed()
    assert len(list(machine.leases.glob("claim-*"))) == 1
    lease_all(max_wait=5)


@needs_root
def test_a_claim_of_another_user_gets_none_of_our_processes_killed(machine):
    """It could name the token that our processes carry."""
    with machine.holding(1, kind="popen") as (_, said):
        (claim,) = machine.leases.glob("claim-*")

        def pretend():
            forged = claim.read_text().replace('"pid": ', '"pid": 1')
            (machine.leases / claim.name.replace("claim-0", "claim-1")).write_text(forged)

        with another_user(pretend) as passed:
            assert passed()
        leases.clean_up()
        os.kill(said["child"], 0)
        os.kill(said["child"], 9)
