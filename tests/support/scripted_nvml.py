"""A driver whose GPUs say what a JSON file has them say: `EVALPACK_TEST_NVML=scripted_nvml:Nvml`.

    {"GPU-a": [{"power": 300.0}, "lost", {"power": 310.0}]}

Each kind of reading goes through them by itself, one after the other, the last one for ever; a text
is an error. Readings of `None` are those that the device does not support. `cpu` has readings
take CPU time, by kind or, of the driver's buffer, by `<kind> buffered`. `buffers` are what the driver
keeps by kind: `values` that come every `every` seconds from when it was opened on, the last one for
ever. `wait_for` waits until a device has been read so often.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evalpack.leases import Device
from evalpack.leases.nvml import DeviceError
from evalpack.telemetry.meter import Kind, Sample

SCRIPT = "SCRIPTED_NVML"
_read: Counter[str] = Counter()


def device(uuid: str, index: int = 0) -> Device:
    return Device(uuid, index, 80 * 2**30, "Pretended A100 80GB")


def environment(
    file: Path,
    says: Mapping[str, Sequence[Any]],
    cpu: Mapping[str, float] | None = None,
    buffers: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, str]:
    """Write the script; the variables that make evalpack see it."""
    file.write_text(json.dumps({"says": says, "cpu": cpu or {}, "buffers": buffers or {}}))
    _read.clear()
    return {"EVALPACK_TEST_NVML": "scripted_nvml:Nvml", SCRIPT: str(file)}


def wait_for(uuid: str, times: int) -> None:
    deadline = time.monotonic() + 20
    while _read[uuid] < times:
        assert time.monotonic() < deadline, f"{uuid} is not read"
        time.sleep(0.005)


class Nvml:
    def __init__(self) -> None:
        script = json.loads(Path(os.environ[SCRIPT]).read_text())
        self._says, self._cpu, self._buffers = script["says"], script["cpu"], script["buffers"]
        self._asked: Counter[tuple[str, str]] = Counter()
        self._kept: Counter[tuple[str, str]] = Counter()
        self._opened = time.monotonic()

    def devices(self) -> tuple[Device, ...]:
        return tuple(device(uuid, index) for index, uuid in enumerate(self._says))

    def value(self, asked: Device, kind: Kind) -> float | None:
        self._work(kind)
        says = self._says[asked.uuid]
        key = (asked.uuid, kind)
        said = says[min(self._asked[key], len(says) - 1)]
        self._asked[key] += 1
        _read[asked.uuid] = max(_read[asked.uuid], self._asked[key])
        if isinstance(said, str):
            raise DeviceError(said)
        return said.get(kind)

    def buffered(self, asked: Device, kind: Kind) -> list[Sample] | None:
        self._work(f"{kind} buffered")
        if kind not in self._buffers:
            return None
        every, values = self._buffers[kind]["every"], self._buffers[kind]["values"]
        now, key = time.monotonic() - self._opened, (asked.uuid, kind)
        known = int(now / every) if values else 0
        numbers = range(self._kept[key], known)
        self._kept[key] = known
        _read[asked.uuid] = max(_read[asked.uuid], known)
        return [
            (now - number * every, float(values[min(number, len(values) - 1)]))
            for number in numbers
        ]

    def close(self) -> None:
        pass

    def _work(self, what: str) -> None:
        until = time.thread_time() + self._cpu.get(what, 0.0)
        while time.thread_time() < until:
            pass
