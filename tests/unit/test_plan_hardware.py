"""GPU types by any of their names, with figures of ours or of the config's."""

from dataclasses import replace

import pytest

from evalpack.errors import UserError
from evalpack.plan.hardware import GPUS, PCIE, Device, gpu

B200 = {"memory_gb": 180, "tflops": 2250, "bandwidth_gb_per_second": 8000}


def refusal(name: str, **more: object) -> str:
    with pytest.raises(UserError) as caught:
        gpu(name, **more)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("hardware.gpu_type: `")
    return message


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
    link = PCIE if "PCI" in reported else GPUS[name].link
    assert gpu(reported) == replace(GPUS[name], link=link)


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA A100",  # 40 or 80 GB?
        "NVIDIA A100-SXM-64GB",
        "NVIDIA GH200 480GB",
        "NVIDIA GeForce RTX 4090",
        "",
    ],
)
def test_a_gpu_we_have_no_figures_for_is_refused_and_asked_for_them(name: str) -> None:
    message = refusal(name)
    assert f"`{name}`" in message
    assert all(known in message for known in GPUS)
    assert "memory_gb, tflops, bandwidth_gb_per_second in hardware.figures" in message


def test_a_mig_slice_is_refused_whatever_figures_are_given() -> None:
    for figures in ({}, B200):
        message = refusal("NVIDIA A100-SXM4-80GB MIG 1g.10gb", figures=figures)
        assert "MIG slice" in message


def test_figures_of_the_config_describe_a_type_of_its_own() -> None:
    assert gpu("B200", B200) == Device("B200", 180_000_000_000, 2.25e15, 8e12, link=PCIE)
    linked = gpu("B200", {**B200, "link_gb_per_second": 700})
    assert linked.link == 700e9


def test_figures_that_are_missing_are_named_and_the_others_not() -> None:
    message = refusal("B200", figures={"memory_gb": 180})
    assert "give its datasheet's tflops, bandwidth_gb_per_second in" in message


def test_figures_go_over_ours_one_by_one() -> None:
    ours = GPUS["A100-80GB"]
    assert gpu("A100-80GB", {"memory_gb": 60}) == replace(ours, memory=60_000_000_000)
    assert gpu("A100-80GB", {}) == ours


def test_the_interconnect_is_the_types_own_unless_it_is_said() -> None:
    assert gpu("A100-80GB", interconnect="pcie").link == PCIE
    assert gpu("A100-80GB", interconnect="nvlink") == gpu("A100-80GB")
    assert gpu("L40S-48GB").link == PCIE
    assert gpu("L40S-48GB", interconnect="nvlink").link > 4 * PCIE


def test_memory_is_what_cuda_reports_under_the_label() -> None:
    for device in GPUS.values():
        label = int(device.name.split("-")[1].removesuffix("GB"))
        assert 0.95 * label * 1e9 < device.memory < label * 2**30
