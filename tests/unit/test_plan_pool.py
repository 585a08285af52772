"""The GPUs that a run has: the command line before the config, the config before NVML."""

from typing import Any

import pytest

from evalpack import leases
from evalpack.errors import UserError
from evalpack.plan.hardware import CPU, PCIE
from evalpack.plan.pool import Pool, find_pool

A100 = {"gpu_type": "A100-80GB"}


def sees(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Make NVML see GPUs of these names, all of which may be used."""
    seen = tuple(leases.Device(f"GPU-{i}", i, 80 * 2**30, name) for i, name in enumerate(names))
    monkeypatch.setattr(leases, "usable_devices", lambda allowed=None: seen)


@pytest.fixture(autouse=True)
def _no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    sees(monkeypatch)


def found(limit: int | None, hardware: dict[str, Any]) -> tuple[str | None, int]:
    pool = find_pool(limit, hardware)
    return pool.gpu_type, pool.count


def refusal(limit: int | None, hardware: dict[str, Any]) -> str:
    with pytest.raises(UserError) as caught:
        find_pool(limit, hardware)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_command_line_goes_over_the_config() -> None:
    assert found(None, A100 | {"gpus": 8}) == ("A100-80GB", 8)
    assert found(4, A100 | {"gpus": 8}) == ("A100-80GB", 4)
    assert found(4, A100) == ("A100-80GB", 4)


def test_a_list_of_gpus_counts_them() -> None:
    assert found(None, A100 | {"gpus": [0, 2, "GPU-abc"]}) == ("A100-80GB", 3)


def test_what_the_config_leaves_out_nvml_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    sees(monkeypatch, "NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3")
    assert found(None, {}) == ("H100-80GB", 2)
    assert found(1, {}) == ("H100-80GB", 1)
    assert found(None, {"gpus": 8}) == ("H100-80GB", 8)
    assert found(None, A100) == ("A100-80GB", 2)


def test_a_plan_for_other_machines_needs_no_gpu_here() -> None:
    assert found(None, {"gpus": 64, "gpu_type": "H200-141GB"}) == ("H200-141GB", 64)


@pytest.mark.parametrize("limit", [None, 0, 4])
def test_without_gpus_the_cpu_is_one_slot(limit: int | None) -> None:
    for hardware in ({}, {"gpus": 0}):
        pool = find_pool(limit, hardware)
        assert (pool.device, pool.count, pool.gpu_type) == (CPU, 1, None)


def test_0_gpus_of_a_type_are_refused() -> None:
    for limit, gpus in ((None, 0), (0, 4), (0, None)):
        hardware = A100 | ({"gpus": gpus} if gpus is not None else {})
        message = refusal(limit, hardware)
        assert "there are 0 GPUs of type A100-80GB" in message
        assert "hardware.gpus" in message
        assert "--resources gpu=N" in message


def test_a_type_without_a_number_is_refused_where_nvml_sees_none() -> None:
    message = refusal(None, A100)
    assert "hardware.gpus must say how many A100-80GB there are" in message
    assert "--resources gpu=N" in message


@pytest.mark.parametrize("gpus", [4, [0, 1, 2, 3]])
def test_several_gpus_of_no_type_are_refused_and_not_taken_for_the_cpu(gpus: Any) -> None:
    message = refusal(None, {"gpus": gpus})
    assert "hardware.gpu_type must say what the 4 GPUs" in message


def test_an_unknown_type_is_refused_and_known_by_its_figures() -> None:
    assert "`B200` is not a GPU type" in refusal(4, {"gpu_type": "B200"})
    figures = {"memory_gb": 180, "tflops": 2250, "bandwidth_gb_per_second": 8000}
    assert found(4, {"gpu_type": "B200", "figures": figures}) == ("B200", 4)


def test_a_mig_slice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    sees(monkeypatch, "NVIDIA A100-SXM4-80GB MIG 1g.10gb")
    assert "MIG slice" in refusal(None, {})


def test_disk_and_interconnect_are_the_configs() -> None:
    pool = find_pool(4, A100 | {"load_gb_per_second": 0.5, "interconnect": "pcie"})
    assert pool.storage.bytes_per_second == 0.5e9
    assert pool.device.link == PCIE
    assert find_pool(4, A100).storage == Pool(CPU, 1).storage
