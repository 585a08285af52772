"""Which GPUs a job may use, and which of the free ones it gets."""

import pytest
from lease_worker import FakeNvml, Machine

from evalpack.errors import UserError
from evalpack.leases import Device
from evalpack.leases.devices import usable
from evalpack.leases.topology import choose

UUIDS = ["GPU-aaaa1111", "GPU-aaaa2222", "GPU-bbbb3333", "GPU-cccc4444"]
DEVICES = tuple(Device(uuid, index, 80 * 2**30, "A100") for index, uuid in enumerate(UUIDS))
HALF_LINKED = [[0, 1], [2, 3]]
ALL_LINKED = [[0, 1, 2, 3]]


@pytest.mark.parametrize(
    ("visible", "allowed", "expected"),
    [
        (None, None, [0, 1, 2, 3]),
        ("2,0", None, [0, 2]),
        (" 1 , 3 ", None, [1, 3]),
        ("GPU-cccc4444,GPU-aaaa1111", None, [0, 3]),
        ("GPU-b,GPU-aaaa2", None, [1, 2]),
        ("GPU-b,0", None, [0, 2]),
        ("", None, []),
        ("-1", None, []),
        (None, 2, [0, 1]),
        (None, 9, [0, 1, 2, 3]),
        (None, 0, []),
        (None, [3, "GPU-aaaa1111"], [0, 3]),
        ("2,3", 1, [2]),
        ("2,3", [3, 0], [3]),
        ("", [3, 0], []),
    ],
)
def test_usable_devices_are_the_visible_ones_that_the_config_allows(visible, allowed, expected):
    assert [device.index for device in usable(DEVICES, visible, allowed)] == expected


@pytest.mark.parametrize(
    ("visible", "allowed", "words"),
    [
        ("4", None, "CUDA_VISIBLE_DEVICES: '4' is no GPU of this machine"),
        ("GPU-aaaa", None, r"'GPU-aaaa' fits GPU 0 \(GPU-aaaa1111\), GPU 1"),
        ("0,,1", None, "'' is no GPU"),
        ("0,GPU-aaaa1111", None, "names GPU 0 .* twice"),
        ("NoDevFiles", None, "SLURM says that this job was given no GPU"),
        ("MIG-1234", None, "names the MIG slice MIG-1234"),
        (None, [7], "hardware.gpus: '7' is no GPU of this machine; this machine has GPU 0"),
        ("0,1", [2], r"No GPU is both in hardware.gpus \(GPU 2 .* and in CUDA_VISIBLE_DEVICES"),
    ],
)
def test_an_entry_that_names_no_gpu_is_an_error(visible, allowed, words):
    with pytest.raises(UserError, match=words):
        usable(DEVICES, visible, allowed)


def test_a_machine_without_gpus_has_none_to_name():
    assert usable((), "0,1", [0, 1]) == ()


@pytest.mark.parametrize(
    ("links", "free", "count", "expected"),
    [
        pytest.param(HALF_LINKED, [0, 1, 2, 3], 2, [0, 1], id="a linked pair"),
        pytest.param(HALF_LINKED, [1, 2, 3], 2, [2, 3], id="the pair that is whole"),
        pytest.param(HALF_LINKED, [1, 2, 3], 1, [1], id="one whose neighbour is taken"),
        pytest.param(HALF_LINKED, [0, 2, 3], 1, [0], id="one whose neighbour is taken, again"),
        pytest.param(HALF_LINKED, [0, 1, 2, 3], 1, [0], id="the first where all are alike"),
        pytest.param([[1, 2]], [0, 1, 2, 3], 1, [0], id="an unlinked one before a linked one"),
        pytest.param([[1, 3]], [0, 1, 2, 3], 2, [1, 3], id="linked before near"),
        pytest.param([], [0, 2, 3], 2, [2, 3], id="near on the PCI tree without links"),
        pytest.param(HALF_LINKED, [0, 2], 2, [0, 2], id="unlinked ones before none"),
        pytest.param(ALL_LINKED, [0, 1, 2, 3], 2, [0, 1], id="a switch links all"),
        pytest.param(ALL_LINKED, [3, 1, 0, 2], 4, [0, 1, 2, 3], id="all"),
    ],
)
def test_devices_are_taken_together_and_linked_groups_left_whole(
    tmp_path, monkeypatch, links, free, count, expected
):
    monkeypatch.setenv("LEASE_TEST_MACHINE", str(Machine(tmp_path / "m", 4, links).root))
    nvml = FakeNvml()
    chosen = choose([nvml.devices()[index] for index in free], count, nvml)
    assert [device.index for device in chosen] == expected
