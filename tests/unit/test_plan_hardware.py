"""GPU types by any of their names, and estimates of the right size."""

import pytest
from evalpack.plan.estimate import generation_seconds

from evalpack.errors import UserError
from evalpack.models import Model
from evalpack.plan.hardware import GPUS, gpu

LLAMA_8B = Model(
    name="8b",
    weight_bytes=16_060_522_496,
    layers=32,
    attention_heads=32,
    kv_heads=8,
    head_size=128,
    active_parameters=8_030_261_248,
)


@pytest.mark.parametrize(
    ("reported", "name"),
    [
        *[(name, name) for name in GPUS],
        ("NVIDIA A100-SXM4-80GB", "A100-80GB"),
        ("NVIDIA A100 80GB PCIe", "A100-80GB"),
        ("NVIDIA A100-SXM4-40GB", "A100-40GB"),
        ("NVIDIA A100-PCIE-40GB", "A100-40GB"),
        ("NVIDIA H100 80GB HBM3", "H100-80GB"),
        ("NVIDIA H100 PCIe", "H100-80GB"),
        ("NVIDIA H200", "H200-141GB"),
        ("NVIDIA L40S", "L40S-48GB"),
        ("a100-80gb", "A100-80GB"),
    ],
)
def test_a_gpu_is_known_by_our_name_and_by_nvmls(reported: str, name: str) -> None:
    assert gpu(reported).name == name


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA A100",  # 40 or 80 GB?
        "NVIDIA A100-SXM-64GB",
        "NVIDIA GH200 480GB",
        "NVIDIA A100-SXM4-80GB MIG 1g.10gb",
        "NVIDIA GeForce RTX 4090",
        "",
    ],
)
def test_a_gpu_we_have_no_figures_for_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"hardware\.gpu_type: .* name the nearest of A100-40GB"):
        gpu(name)


def test_memory_is_what_cuda_reports_under_the_label() -> None:
    for device in GPUS.values():
        label = int(device.name.split("-")[1].removesuffix("GB"))
        assert 0.95 * label * 1e9 < device.memory < label * 2**30


def test_the_estimate_is_of_the_measured_size() -> None:
    # Measured: 38.9 s on one H100 for 5,000 prompts with 128 tokens out.
    seconds = generation_seconds(LLAMA_8B, gpu("H100-80GB"), 1, 5000, 128)
    assert 38.9 / 2 < seconds < 38.9 * 2


def test_no_requests_take_no_time() -> None:
    assert generation_seconds(LLAMA_8B, gpu("A100-80GB"), 1, 0, 512) == 0.0
