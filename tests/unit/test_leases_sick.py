"""GPUs that failed a job are tried last."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pretended_gpus import TwoGpus

from evalpack import leases
from evalpack.leases import sick
from evalpack.leases.folder import LeaseFolder

ECC = "RuntimeError: CUDA error: uncorrectable ECC error encountered"


@pytest.fixture(autouse=True)
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("EVALPACK_LEASE_DIR", str(tmp_path / "leases"))
    monkeypatch.setenv("EVALPACK_TEST_NVML", "pretended_gpus:TwoGpus")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    yield


def leased(count: int = 1) -> list[int]:
    with leases.acquire(count, "job", max_wait=10) as lease:
        return [device.index for device in lease.devices]


def fail(reason: str) -> bool:
    with leases.acquire(1, "job", max_wait=10) as lease:
        return leases.report_fault(lease, reason)


def test_a_gpu_that_failed_is_passed_over_while_there_is_another() -> None:
    assert leased() == [0]
    assert fail(ECC)
    assert leased() == [1]
    assert fail(ECC)  # now both have
    assert leased() == [0]


def test_a_wide_job_takes_it_all_the_same() -> None:
    assert fail(ECC)
    assert leased(2) == [0, 1]


def test_it_is_forgiven_after_ten_minutes() -> None:
    assert fail(ECC)
    file = Path(os.environ["EVALPACK_LEASE_DIR"]) / "sick-GPU-0"
    said = json.loads(file.read_text())
    file.write_text(json.dumps({**said, "at": said["at"] - sick.SECONDS}))
    assert leased() == [0]
    assert not file.exists()


def test_the_one_who_waits_is_told_why() -> None:
    devices = TwoGpus().devices()
    folder = LeaseFolder.open()
    sick.note(folder, devices[:1], ECC)
    assert sick.complaints(folder, devices, 1) == {
        "GPU-0": f"failed a job 0 s ago ({ECC})",
    }
    folder.close()


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"at": "soon"}', '{"reason": "none"}'])
def test_a_damaged_note_says_nothing(damage: str) -> None:
    assert fail(ECC)
    (Path(os.environ["EVALPACK_LEASE_DIR"]) / "sick-GPU-0").write_text(damage)
    assert leased() == [0]


def test_a_time_to_come_says_nothing() -> None:
    assert fail(ECC)
    file = Path(os.environ["EVALPACK_LEASE_DIR"]) / "sick-GPU-0"
    later = time.clock_gettime(time.CLOCK_BOOTTIME) + 1000
    file.write_text(json.dumps({"at": later, "reason": "x"}))
    assert leased() == [0]


@pytest.mark.parametrize(
    "reason",
    [
        ECC,
        "AcceleratorError: CUDA error: unspecified launch failure",
        "CUDA error: all CUDA-capable device(s) is/are busy or unavailable",
        "RuntimeError: No CUDA GPUs: GPU has fallen off the bus",
    ],
)
def test_faults_of_a_gpu(reason: str) -> None:
    assert sick.is_fault(reason)


@pytest.mark.parametrize(
    "reason",
    [
        "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
        "ValueError: Free memory on device cuda:0 (3.0/79.2 GiB) on startup is less than desired",
        "SafetensorError: Error while deserializing header: incomplete metadata",
        "RuntimeError: CUDA error: device-side assert triggered",
    ],
)
def test_what_is_no_fault_of_the_gpu(reason: str) -> None:
    assert not sick.is_fault(reason)
    assert not fail(reason)
    assert leased() == [0]
