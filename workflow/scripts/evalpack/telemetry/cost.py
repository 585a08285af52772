"""What telemetry costs on this machine: python -m evalpack.telemetry.cost [--seconds 10] [--json]."""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from evalpack.errors import UserError
from evalpack.leases.nvml import Device, DeviceError, open_nvml
from evalpack.telemetry import attempts
from evalpack.telemetry.facts import JobInfo, Sampling
from evalpack.telemetry.meter import BUFFERED, KINDS, Meter, open_meter
from evalpack.telemetry.recorder import Recorder

CALLS = 50
_APART_SECONDS = 0.02
"""Calls one right after the other are several times cheaper than those of a job."""


@dataclass(frozen=True, slots=True)
class CallCost:
    """What one reading of a device costs in the mean, in microseconds.

    `samples`: that a look into the driver's buffer brought, in the mean; None for direct readings.
    `trouble`: why nothing is known.
    """

    device: str
    reading: str
    how: str
    cpu_us: float | None = None
    wall_us: float | None = None
    samples: float | None = None
    trouble: str | None = None


def calls(meter: Meter, device: Device) -> list[CallCost]:
    """What each reading costs, from calls that take turns."""
    asks: dict[tuple[str, str], Callable[[], Any]] = {}
    for kind in KINDS:
        asks[kind, "direct"] = partial(meter.value, device, kind)
    for kind in BUFFERED:
        asks[kind, "buffered"] = partial(meter.buffered, device, kind)
    cpu, wall = dict.fromkeys(asks, 0.0), dict.fromkeys(asks, 0.0)
    samples = dict.fromkeys(asks, 0)
    trouble: dict[tuple[str, str], str] = {}
    for _ in range(CALLS):
        time.sleep(_APART_SECONDS)
        for key, ask in asks.items():
            if key in trouble:
                continue
            before = time.thread_time(), time.perf_counter()
            try:
                answer = ask()
            except DeviceError as error:
                answer, trouble[key] = None, str(error)
            cpu[key] += time.thread_time() - before[0]
            wall[key] += time.perf_counter() - before[1]
            if answer is None:
                trouble.setdefault(key, "not supported")
            elif key[1] == "buffered":
                samples[key] += len(answer)
    return [
        CallCost(device.uuid, *key, trouble=trouble[key])
        if key in trouble
        else CallCost(
            device.uuid,
            *key,
            cpu_us=round(cpu[key] / CALLS * 1e6, 1),
            wall_us=round(wall[key] / CALLS * 1e6, 1),
            samples=round(samples[key] / CALLS, 2) if key[1] == "buffered" else None,
        )
        for key in asks
    ]


def sampler(devices: Sequence[Device], seconds: float) -> Sampling:
    """How a job's sampler fares with these devices, files and all."""
    with tempfile.TemporaryDirectory() as folder:
        job = JobInfo("cost", "cost", "cost", len(devices))
        with Recorder(Path(folder) / "telemetry", job) as recorder:
            recorder.devices(devices)
            recorder.phase("generating")
            time.sleep(seconds)
        (path,) = (Path(folder) / "telemetry").iterdir()
        return attempts.read_facts(path).sampling


def measure(seconds: float) -> dict[str, Any]:
    """What the script tells; no devices on a machine without a GPU.

    Raises:
        UserError: the driver is there but out of order.
    """
    with closing(open_nvml()) as nvml:
        devices = nvml.devices()
        meter = open_meter() if devices else None
        if meter is None:
            return {"devices": [], "calls": [], "sampler": None}
        with closing(meter):
            found = [asdict(one) for device in devices for one in calls(meter, device)]
    told = sampler(devices, seconds)
    return {
        "devices": [asdict(device) for device in devices],
        "calls": found,
        "sampler": {**asdict(told), "cpu_share": told.cpu_share},
    }


def report(found: dict[str, Any]) -> str:
    """The same for people."""
    if not found["devices"]:
        return "There is no GPU on this machine: nothing is sampled, and sampling costs nothing."
    lines = []
    for device in found["devices"]:
        lines.append(f"GPU {device['index']} {device['name']} ({device['uuid']})")
        for one in found["calls"]:
            if one["device"] == device["uuid"]:
                lines.append(f"  {one['reading']:<12} {one['how']:<9} {_of_call(one)}")
    told = found["sampler"]
    lines.append(f"Sampler, {len(found['devices'])} GPU(s) for {told['wall_seconds']:.1f} s:")
    for kind, one in told["readings"].items():
        lines.append(
            f"  {kind:<12} {one['how']:<9} every {one['interval']:g} s, "
            f"{one['seconds'] * 1e6:.0f} µs of CPU each, {one['count']} times"
        )
    lines += [f"  {uuid}: {why}" for uuid, why in told["silent"].items()]
    share = told["cpu_share"]
    lines.append(f"  {told['samples']} samples, {100 * (share or 0.0):.3f} % of a core")
    return "\n".join(lines)


def _of_call(one: dict[str, Any]) -> str:
    if one["trouble"] is not None:
        return str(one["trouble"])
    more = "" if one["samples"] is None else f", {one['samples']:g} samples"
    return f"{one['cpu_us']:8.1f} µs of CPU, {one['wall_us']:8.1f} µs{more}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m evalpack.telemetry.cost",
        description="What reading this machine's GPUs costs, and what a job's sampler costs.",
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to sample (10)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args()
    try:
        found = measure(asked.seconds)
    except UserError as error:
        sys.exit(str(error))
    print(json.dumps(found, indent=2) if asked.json else report(found))


if __name__ == "__main__":
    main()
