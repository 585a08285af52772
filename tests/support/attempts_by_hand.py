"""Attempts with times chosen by hand, written as jobs write them."""

from collections.abc import Sequence
from pathlib import Path

from evalpack import processes
from evalpack.telemetry import samples, stream
from evalpack.telemetry.attempts import convert, new_stream
from evalpack.telemetry.facts import DeviceInfo, Facts, JobInfo, PhaseSpan
from evalpack.telemetry.meter import Reading

START = 1_800_000_000.0
"""What the tests' times are counted from, epoch seconds."""


def facts(
    phases: Sequence[tuple[str, float]],
    end: float,
    *,
    model: str = "m",
    name: str = "1-of-1",
    devices: Sequence[str] = ("GPU-0",),
    lease: tuple[float, float] | None = None,
    answers: int = 0,
    tokens: int = 0,
    how: str | None = "done",
    workflow: str | None = "first",
    gpus: int | None = None,
) -> Facts:
    """An attempt whose phases begin at the given seconds after START.

    The lease is by default from the beginning of loading to the end.
    """
    begins = [begin for _, begin in phases]
    ends = [*begins[1:], end]
    if lease is None and devices:
        lease = (next(begin for phase, begin in phases if phase == "loading"), end)
    return Facts(
        job=JobInfo(model, model, name, len(devices) if gpus is None else gpus),
        process={"host": processes.identity()["host"], "boot": "earlier", "pid": 7, "started": 0.0},
        workflow=workflow,
        began=START + begins[0],
        phases=tuple(
            PhaseSpan(phase, START + begin, START + until)
            for (phase, begin), until in zip(phases, ends, strict=True)
        ),
        devices=tuple(DeviceInfo(uuid, 0, "A100", 80 * 2**30) for uuid in devices),
        taken=START + lease[0] if lease else None,
        released=START + lease[1] if lease else None,
        answers=answers,
        output_tokens=tokens,
        known_until=START + end,
        end=how,
    )


def write(run: Path, one: Facts, rows: Sequence[tuple[float, str, str, Reading]] = ()) -> Path:
    """The Parquet file of an attempt; rows are (seconds after START, device, phase, reading)."""
    path = write_stream(run, one, rows)
    return convert(path, one, stream.read(path)[1])


def write_stream(
    run: Path, one: Facts, rows: Sequence[tuple[float, str, str, Reading]] = ()
) -> Path:
    """The stream of an attempt whose process is gone."""
    folder = run / "telemetry" / one.job.slug
    folder.mkdir(parents=True, exist_ok=True)
    path = new_stream(folder, one)
    writer = stream.StreamWriter(path, one)
    writer.write([samples.row(START + at, *more) for at, *more in rows], one)
    writer.close()
    return path
