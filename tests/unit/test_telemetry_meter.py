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
from evalpack.telemetry.meter import NvmlMeter, Reading, driver, open_meter

GPU = Device("GPU-a", 0, 80 * GIB, "A100")
NOT_SUPPORTED = pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
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
    reading, _ = meter()
    assert reading.reading(GPU) == Reading(93, 5 * GIB, 312.345, 61, 123_456_789_012)


def test_what_is_not_supported_is_null_and_not_asked_again():
    one, made = meter(TotalEnergyConsumption=NOT_SUPPORTED, PowerUsage=NOT_SUPPORTED)
    for _ in range(3):
        assert one.reading(GPU) == Reading(93, 5 * GIB, None, 61, None)
    assert made.asked.count("PowerUsage") == 1


def test_what_fails_once_is_null_once():
    one, made = meter(Temperature=pynvml.NVMLError(pynvml.NVML_ERROR_UNKNOWN))
    assert one.reading(GPU).temperature is None
    made.answers["Temperature"] = 40
    assert one.reading(GPU).temperature == 40


def test_a_device_that_says_nothing_at_all_is_an_error_with_its_reason():
    names = [
        "UtilizationRates",
        "MemoryInfo",
        "PowerUsage",
        "Temperature",
        "TotalEnergyConsumption",
    ]
    one, _ = meter(**dict.fromkeys(names, LOST))
    with pytest.raises(DeviceError, match="GPU is lost"):
        one.reading(GPU)


def test_a_replacement_made_for_leases_tells_memory_alone(tmp_path, monkeypatch):
    machine = Machine(tmp_path / "machine", gpus=1)
    machine.foreign("GPU-0", 3 * GIB)
    for name, value in machine.environment.items():
        monkeypatch.setenv(name, value)
    gpu = Device("GPU-0", 0, 80 * GIB, "A100")
    assert open_meter().reading(gpu) == Reading(memory_used=3 * GIB)


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
