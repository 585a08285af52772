"""Measurements of all runs come together, a file a GPU type, and nothing is lost on the way."""

import json
import math
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from measurements import A100, EIGHT, measured

from evalpack.plan import calibration
from evalpack.plan.calibration import SCHEMA_VERSION, Measurement
from evalpack.plan.hardware import GPUS
from evalpack.plan.start import Storage


def leave(results: Path, *ones: Measurement, version: int = SCHEMA_VERSION) -> None:
    """What jobs leave in their runs' folders."""
    for one in ones:
        path = results / one.job.replace("/", "/measured/", 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f"{path.name}.json").write_text(
            json.dumps({"schema_version": version, **asdict(one)})
        )


def known(results: Path, gpu_type: str = A100.name) -> list[Measurement]:
    found = calibration.load(results, GPUS.get(gpu_type, A100), Storage(), [EIGHT])
    return list(found.measurements)


def test_all_runs_come_into_one_file_a_gpu_type(tmp_path: Path) -> None:
    ones = [measured("a/m/1-of-2"), measured("a/m/2-of-2"), measured("b/m/1-of-1")]
    other = measured("b/n/1-of-1", gpu_type="H100-80GB")
    leave(tmp_path, *ones, other)
    calibration.gather(tmp_path)
    assert known(tmp_path) == ones
    assert known(tmp_path, "H100-80GB") == [other]
    names = sorted(path.name for path in (tmp_path / "_calibration").iterdir())
    assert names == ["A100-80GB.json", "H100-80GB.json"]


def test_gathering_again_writes_nothing(tmp_path: Path) -> None:
    leave(tmp_path, measured("a/m/1-of-1"), measured("b/m/1-of-1"))
    calibration.gather(tmp_path)
    path = calibration.calibration_file(tmp_path, A100.name)
    before = path.stat()
    calibration.gather(tmp_path)
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_job_measured_again_replaces_what_it_said_before(tmp_path: Path) -> None:
    leave(tmp_path, measured("a/m/1-of-1", start=1.0))
    calibration.gather(tmp_path)
    leave(tmp_path, measured("a/m/1-of-1", start=2.0))
    calibration.gather(tmp_path)
    assert [one.start for one in known(tmp_path)] == [2.0]


def test_what_a_deleted_run_measured_stays(tmp_path: Path) -> None:
    leave(tmp_path, measured("a/m/1-of-1"))
    calibration.gather(tmp_path)
    (tmp_path / "a" / "measured" / "m" / "1-of-1.json").unlink()
    leave(tmp_path, measured("b/m/1-of-1"))
    calibration.gather(tmp_path)
    assert [one.job for one in known(tmp_path)] == ["a/m/1-of-1", "b/m/1-of-1"]


def test_the_newest_50_of_a_model_are_kept(tmp_path: Path) -> None:
    old = [measured(f"a/m/{i}-of-60", finished=f"2026-11-23T01:{i:02}:00.000Z") for i in range(60)]
    rare = measured("a/n/1-of-1", source="another", finished="2020-01-01T00:00:00.000Z")
    leave(tmp_path, *old, rare)
    calibration.gather(tmp_path)
    assert sorted(known(tmp_path), key=lambda one: one.finished) == [rare, *old[10:]]


def test_two_that_gather_while_jobs_finish_lose_nothing(tmp_path: Path) -> None:
    code = (
        "import json, sys; from pathlib import Path; from evalpack.plan import calibration\n"
        "results, run, one = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])\n"
        "for i in range(15):\n"
        "    path = results / run / 'measured' / 'm' / f'{i}.json'\n"
        "    path.parent.mkdir(parents=True, exist_ok=True)\n"
        "    path.write_text(json.dumps({**one, 'job': f'{run}/m/{i}'}))\n"
        "    calibration.gather(results)\n"
    )
    one = json.dumps({"schema_version": SCHEMA_VERSION, **asdict(measured())})
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), run, one])
        for run in ("a", "b")
    ]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    assert {one.job for one in known(tmp_path)} == {
        f"{run}/m/{i}" for run in ("a", "b") for i in range(15)
    }


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '{"schema_version": 2}',
        '{"schema_version": 2, "job": "a"}',
        json.dumps({"schema_version": 2, **asdict(measured(start="long"))}),
        json.dumps({"schema_version": 2, **asdict(measured(requests=-1))}),
        json.dumps({"schema_version": 2, **asdict(measured(generate=math.nan))}),
        json.dumps({"schema_version": 2, **asdict(measured(mode="quick"))}),
        json.dumps({"schema_version": 1, **asdict(measured())}),
        json.dumps({"schema_version": 99, **asdict(measured())}),
        json.dumps(asdict(measured())),
    ],
)
def test_what_is_damaged_or_of_another_version_is_passed_over(tmp_path: Path, content: str) -> None:
    leave(tmp_path, measured("a/m/1-of-2"))
    (tmp_path / "a" / "measured" / "m" / "2-of-2.json").write_text(content)
    calibration.gather(tmp_path)
    assert [one.job for one in known(tmp_path)] == ["a/m/1-of-2"]


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[1]",
        '{"schema_version": 2}',
        '{"schema_version": 2, "measurements": {}}',
        '{"schema_version": 2, "measurements": [1, {}]}',
        '{"schema_version": 99, "measurements": [{}]}',
    ],
)
def test_a_damaged_calibration_file_counts_as_none_and_is_written_anew(
    tmp_path: Path, content: str
) -> None:
    path = calibration.calibration_file(tmp_path, A100.name)
    path.parent.mkdir()
    path.write_text(content)
    assert known(tmp_path) == []
    leave(tmp_path, measured("a/m/1-of-1"))
    calibration.gather(tmp_path)
    assert [one.job for one in known(tmp_path)] == ["a/m/1-of-1"]


def test_a_gpu_type_of_any_name_has_a_file_in_the_folder(tmp_path: Path) -> None:
    path = calibration.calibration_file(tmp_path, "../NVIDIA/B200 180GB")
    assert path.parent == tmp_path / "_calibration"


def test_a_file_of_many_models_takes_one_more_in_seconds(tmp_path: Path) -> None:
    many = [measured(f"a/m/{i}", source=f"s{i % 300}") for i in range(300 * 50)]
    path = calibration.calibration_file(tmp_path, A100.name)
    path.parent.mkdir()
    content = {"schema_version": SCHEMA_VERSION, "measurements": [asdict(one) for one in many]}
    path.write_text(json.dumps(content))
    leave(tmp_path, measured("b/m/1-of-1"))
    before = time.process_time()
    calibration.gather(tmp_path)
    assert time.process_time() - before < 10
    assert len(known(tmp_path)) == len(many) + 1
