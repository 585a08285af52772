"""Reading a device through NVML, also while other threads fork."""

import os
import threading
import time
from types import SimpleNamespace

import pynvml
import pytest
from lease_worker import GIB, Machine

from evalpack.leases import Device
from evalpack.leases.nvml import DeviceError
from evalpack.telemetry.forks import driver
from evalpack.telemetry.meter import KINDS, NvmlMeter, open_meter

GPU = Device("GPU-a", 0, 80 * GIB, "A100")
NOT_SUPPORTED = pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
NOT_FOUND = pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
LOST = pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)


class Driver:
    """pynvml with answers of our own; an error among them is raised."""

    def __init__(self, **answers):
        self.answers = {
            "UtilizationRates": SimpleNamespace(gpu=93, memory=40),
            "MemoryInfo": SimpleNamespace(used=5 * GIB),
            "PowerUsage": 312_345,
            "Temperature": 61,
            "TotalEnergyConsumption": 123_456_789_012,
            **answers,
        }
        self.asked = []

    def __getattr__(self, name):
        what = name.removeprefix("nvmlDeviceGet")
        if what not in self.answers:
            return getattr(pynvml, name)

        def answer(handle, *_, **__):
            self.asked.append(what)
            if isinstance(self.answers[what], Exception):
                raise self.answers[what]
            return self.answers[what]

        return answer

    def nvmlDeviceGetHandleByUUID(self, uuid):  # noqa: N802
        return uuid


def meter(**answers):
    made = Driver(**answers)
    return NvmlMeter(made, lambda: None), made


def test_readings_are_in_their_units():
    one, _ = meter()
    said = [one.value(GPU, kind) for kind in KINDS]
    assert said == [93, 5 * GIB, 312.345, 61, 123_456_789_012]


def test_what_is_not_supported_is_null_and_not_asked_again():
    one, made = meter(TotalEnergyConsumption=NOT_SUPPORTED, Samples=NOT_SUPPORTED)
    for _ in range(3):
        assert one.value(GPU, "energy") is None
        assert one.buffered(GPU, "power") is None
    assert made.asked == ["TotalEnergyConsumption", "Samples"]


def test_what_fails_once_is_an_error_once():
    one, made = meter(Temperature=LOST)
    with pytest.raises(DeviceError, match="GPU is lost"):
        one.value(GPU, "temperature")
    made.answers["Temperature"] = 40
    assert one.value(GPU, "temperature") == 40


def test_drivers_before_510_tell_memory_in_the_old_way():
    def told(handle, version=None):
        if version is not None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)
        return SimpleNamespace(used=7 * GIB)

    one, made = meter()
    made.nvmlDeviceGetMemoryInfo = told
    assert one.value(GPU, "memory_used") == 7 * GIB


def kept(*samples, of_type=pynvml.NVML_VALUE_TYPE_UNSIGNED_INT):
    """What nvmlDeviceGetSamples answers; times in seconds before now."""
    made = []
    for ago, value in samples:
        one = pynvml.c_nvmlSample_t(timeStamp=int((time.time() - ago) * 1e6))
        if of_type == pynvml.NVML_VALUE_TYPE_DOUBLE:
            one.sampleValue.dVal = value
        else:
            one.sampleValue.uiVal = value
        made.append(one)
    return of_type, made


def opened_earlier(**answers):
    one, made = meter(**answers)
    one._opened -= 60_000_000
    return one, made


def test_what_the_driver_kept_comes_in_order_with_its_age_and_only_once():
    answer = kept((0.2, 301_500), (0.4, 299_250))
    one, made = opened_earlier(Samples=answer)
    samples = one.buffered(GPU, "power")
    assert [value for _, value in samples] == [299.25, 301.5]
    assert [age for age, _ in samples] == pytest.approx([0.4, 0.2], abs=0.1)
    assert one.buffered(GPU, "power") == []
    made.answers["Samples"] = (answer[0], [*answer[1], *kept((0.0, 5))[1]])
    assert [value for _, value in one.buffered(GPU, "power")] == [0.005]
    assert [value for _, value in one.buffered(GPU, "utilization")] == [299_250, 301_500, 5]


def test_the_drivers_values_may_be_of_another_type():
    one, _ = opened_earlier(Samples=kept((0.1, 97.0), of_type=pynvml.NVML_VALUE_TYPE_DOUBLE))
    assert [value for _, value in one.buffered(GPU, "utilization")] == [97.0]


def test_what_the_driver_kept_from_before_is_left_out():
    one, _ = meter(Samples=kept((5.0, 1)))
    assert one.buffered(GPU, "utilization") == []


@pytest.mark.parametrize("ago", [3600, -3600])
def test_a_driver_whose_clock_is_another_keeps_nothing_of_use(ago):
    one, made = opened_earlier(Samples=kept((ago, 1)))
    one._opened -= 7200 * 1_000_000
    assert one.buffered(GPU, "utilization") is None
    assert one.buffered(GPU, "utilization") is None
    assert made.asked == ["Samples"]


@pytest.mark.parametrize("answer", [(1, []), NOT_FOUND])
def test_a_buffer_that_ran_dry_is_empty_and_asked_again(answer):
    one, made = opened_earlier(Samples=answer)
    assert one.buffered(GPU, "utilization") == []
    made.answers["Samples"] = kept((0.1, 9))
    assert len(one.buffered(GPU, "utilization")) == 1


@pytest.mark.parametrize("kind", ["memory_used", "temperature", "energy"])
def test_no_driver_keeps_the_rest(kind):
    one, made = meter()
    assert one.buffered(GPU, kind) is None
    assert made.asked == []


def test_a_replacement_made_for_leases_tells_memory_alone(tmp_path, monkeypatch):
    machine = Machine(tmp_path / "machine", gpus=1)
    machine.foreign("GPU-0", 3 * GIB)
    for name, value in machine.environment.items():
        monkeypatch.setenv(name, value)
    gpu = Device("GPU-0", 0, 80 * GIB, "A100")
    one = open_meter()
    assert [one.value(gpu, kind) for kind in KINDS] == [None, 3 * GIB, None, None, None]
    assert one.buffered(gpu, "power") is None


def test_a_child_forked_while_a_thread_reads_can_use_the_driver():
    inside = threading.Event()

    def read():
        with driver:
            inside.set()
            time.sleep(0.2)

    thread = threading.Thread(target=read)
    thread.start()
    inside.wait()
    pid = os.fork()
    if pid == 0:
        with driver:
            os._exit(7)
    deadline = time.monotonic() + 20
    while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
        assert time.monotonic() < deadline, "the child waits for a lock that nobody opens"
        time.sleep(0.01)
    assert os.waitstatus_to_exitcode(ended[1]) == 7
    thread.join()
    with driver:  # and so can we
        pass
