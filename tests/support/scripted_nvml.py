"""A driver whose GPUs say what a JSON file has them say: `EVALPACK_TEST_NVML=scripted_nvml:Nvml`.

    {"GPU-a": [{"power": 300.0}, "lost", {"power": 310.0}]}

One reading after the other, the last one for ever; a text is an error. Readings of `None` are those
that the device does not support. `wait_for` waits until a device has been read so often.
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
from evalpack.telemetry.meter import Reading

SCRIPT = "SCRIPTED_NVML"
_read: Counter[str] = Counter()


def device(uuid: str, index: int = 0) -> Device:
    return Device(uuid, index, 80 * 2**30, "Pretended A100 80GB")


def environment(file: Path, says: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    """Write the script; the variables that make evalpack see it."""
    file.write_text(json.dumps(says))
    _read.clear()
    return {"EVALPACK_TEST_NVML": "scripted_nvml:Nvml", SCRIPT: str(file)}


def wait_for(uuid: str, times: int) -> None:
    deadline = time.monotonic() + 20
    while _read[uuid] < times:
        assert time.monotonic() < deadline, f"{uuid} is not read"
        time.sleep(0.005)


class Nvml:
    def __init__(self) -> None:
        self._script = json.loads(Path(os.environ[SCRIPT]).read_text())
        self._asked: Counter[str] = Counter()

    def devices(self) -> tuple[Device, ...]:
        return tuple(device(uuid, index) for index, uuid in enumerate(self._script))

    def reading(self, asked: Device) -> Reading:
        says = self._script[asked.uuid]
        said = says[min(self._asked[asked.uuid], len(says) - 1)]
        self._asked[asked.uuid] += 1
        _read[asked.uuid] += 1
        if isinstance(said, str):
            raise DeviceError(said)
        return Reading(**said)

    def close(self) -> None:
        pass
