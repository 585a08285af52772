"""Two hundred jobs, a quarter of them killed at any moment: no GPU is ever shared, none is lost."""

from collections import Counter
from contextlib import ExitStack

from lease_worker import Machine, lives

from evalpack import leases

LAUNCHERS = 12
JOBS_EACH = 17


def test_whatever_is_killed_no_device_is_shared_and_none_is_lost(tmp_path, monkeypatch):
    machine = Machine(tmp_path / "machine", gpus=4)
    for name, value in machine.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    with ExitStack() as stack:
        launchers = [
            stack.enter_context(machine.start("launch", seed, JOBS_EACH))
            for seed in range(LAUNCHERS)
        ]
    assert [launcher.returncode for launcher in launchers] == [0] * LAUNCHERS
    assert machine.events("shared") == []
    assert machine.events("failed") == []

    with leases.acquire(4, "the last", max_wait=20) as lease:
        assert len(lease.devices) == 4
        signed_in = (machine.root / "witness").glob("*/*")
        assert [file for file in signed_in if lives(int(file.name.rpartition("@")[2]))] == []
    assert not list(machine.leases.glob("claim-*")), "nothing of the dead is left"

    # The above says something only if jobs died with GPUs in use, and left children of each kind.
    ended = machine.events("ended")
    assert len(ended) == LAUNCHERS * JOBS_EACH
    killed = {event["job"] for event in ended if event["killed"]}
    leased = {event["pid"] for event in machine.events("leased")}
    kinds = Counter(event["kind"] for event in ended if event["job"] in killed & leased)
    assert len(killed) > len(ended) / 6
    assert {"fork", "daemon", "popen", "spawn"} <= set(kinds), kinds
    reaped = [event for event in machine.events("log") if event["text"].startswith("killed proc")]
    assert len(reaped) >= 8
