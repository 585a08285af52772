"""What a job records of itself and its GPUs, whatever becomes of it."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
import scripted_nvml
from attempts_by_hand import facts, write_stream

from evalpack.errors import UserError
from evalpack.telemetry import JobInfo, Recorder, stream, summarise
from evalpack.telemetry.attempts import read_facts
from evalpack.telemetry.facts import PHASES
from evalpack.telemetry.meter import Reading

SUPPORT = Path(__file__).resolve().parents[1] / "support"
JOB = JobInfo(model="a:b", slug="a-b", name="1-of-2", gpus=1)
A, B = scripted_nvml.device("GPU-a", 0), scripted_nvml.device("GPU-b", 1)
ONE = {"utilization": 0, "memory_used": 2**30, "power": 70.5, "temperature": 31, "energy": 5_000}
TWO = {
    "utilization": 97,
    "memory_used": 2**36,
    "power": 400.125,
    "temperature": 60,
    "energy": 9_000,
}


@pytest.fixture
def gpus(tmp_path, monkeypatch):
    """Makes the machine's GPUs say these things."""

    def says(**script):
        made = scripted_nvml.environment(tmp_path / "script.json", script)
        for name, value in made.items():
            monkeypatch.setenv(name, value)

    return says


class OutOfOrder:
    """A driver that does not work."""

    def __init__(self):
        raise UserError("the driver is out of order")


def only_file(folder):
    (path,) = folder.iterdir()
    return path


def start(folder, *limit):
    """Another process that records; it generates when this returns."""
    path = os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")])
    job = subprocess.Popen(
        [sys.executable, SUPPORT / "recorded_job.py", folder, *map(str, limit)],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert job.stdout.readline() == "generating\n"
    return job


def test_samples_are_what_the_devices_said_with_the_phase_they_said_it_in(tmp_path, gpus):
    gpus(**{"GPU-a": [ONE, TWO], "GPU-b": [ONE]})
    before = time.time()
    with Recorder(tmp_path / "t", JOB) as recorder:
        recorder.phase("waiting")
        recorder.devices([A, B])
        recorder.phase("loading")
        scripted_nvml.wait_for("GPU-b", 2)
        recorder.phase("generating")
        scripted_nvml.wait_for("GPU-b", 5)
        recorder.answered(40, 7)
        recorder.answered(2, 8)
        recorder.phase("ending")
        recorder.released()
    after = time.time()
    path = only_file(tmp_path / "t")
    assert re.fullmatch(rf"1-of-2\.\d{{8}}T\d{{6}}Z-{os.getpid()}\.parquet", path.name)
    rows = pq.read_table(path).to_pylist()
    of_a = [row for row in rows if row["uuid"] == "GPU-a"]
    columns = {
        "utilization_percent": "utilization",
        "memory_bytes": "memory_used",
        "power_watts": "power",
        "temperature_celsius": "temperature",
        "energy_millijoules": "energy",
    }
    for column, kind in columns.items():
        told = [row[column] for row in of_a if row[column] is not None]
        assert told == [ONE[kind]] + [TWO[kind]] * (len(told) - 1)
    # At both ends everything is read; in between what is due.
    for row in (of_a[0], of_a[-1]):
        assert None not in row.values()
    assert len({row["time"] for row in of_a}) == len(of_a)
    assert {row["uuid"] for row in rows} == {"GPU-a", "GPU-b"}
    assert {"loading", "generating"} <= {row["phase"] for row in rows}
    known = read_facts(path)
    spans = {one.phase: (one.begin, one.end) for one in known.phases}
    for row in rows:
        begin, end = spans[row["phase"]]
        at = row["time"].timestamp()
        assert before <= at <= after
        assert begin - 0.1 <= at <= end + 0.1
    assert (known.answers, known.output_tokens, known.prompt_tokens) == (2, 42, 15)
    assert [device.uuid for device in known.devices] == ["GPU-a", "GPU-b"]
    assert known.sampling.samples == len(rows)
    assert known.sampling.cpu_share > 0
    assert set(known.sampling.readings) == set(columns.values())
    assert {one.how for one in known.sampling.readings.values()} == {"direct"}
    assert known.job == JOB
    assert known.end == "done"


def test_phases_are_without_gaps_from_when_the_job_was_asked_to_start(tmp_path):
    began = time.time() - 5
    with Recorder(tmp_path / "t", JOB, began=began) as recorder:
        for phase in ("waiting", "loading", "loading", "generating", "ending", "loading"):
            recorder.phase(phase)
    known = read_facts(only_file(tmp_path / "t"))
    names = [one.phase for one in known.phases]
    assert names == ["importing", "waiting", "loading", "generating", "ending", "loading"]
    assert known.phases[0].begin == known.began == began
    for one, other in zip(known.phases, known.phases[1:], strict=False):
        assert one.end == other.begin
    assert known.phases[-1].end == known.known_until <= time.time() + 0.1


def test_without_a_time_to_count_from_it_is_the_start_of_the_process(tmp_path):
    with Recorder(tmp_path / "t", JOB):
        pass
    # psutil counts from a boot time in whole seconds.
    began = read_facts(only_file(tmp_path / "t")).began
    assert began == pytest.approx(psutil.Process().create_time(), abs=1.5)


def test_the_metadata_are_json_that_anybody_can_read(tmp_path):
    with Recorder(tmp_path / "t", JOB, workflow="5ca1ab1e"):
        pass
    told = json.loads(pq.read_schema(only_file(tmp_path / "t")).metadata[b"evalpack.telemetry"])
    assert told["schema_version"] == 1
    assert told["job"] == {"model": "a:b", "slug": "a-b", "name": "1-of-2", "gpus": 1}
    assert told["workflow"] == "5ca1ab1e"
    assert told["process"]["pid"] == os.getpid()


def test_a_phase_that_does_not_exist_is_refused(tmp_path):
    with Recorder(tmp_path / "t", JOB) as recorder, pytest.raises(ValueError, match="'sleeping'"):
        recorder.phase("sleeping")


def test_nothing_is_sampled_after_the_devices_were_given_back(tmp_path, gpus):
    gpus(**{"GPU-a": [ONE]})
    with Recorder(tmp_path / "t", JOB) as recorder:
        recorder.devices([A])
        scripted_nvml.wait_for("GPU-a", 2)
        recorder.released()
        time.sleep(0.3)
    path = only_file(tmp_path / "t")
    known = read_facts(path)
    times = pq.read_table(path)["time"].to_pylist()
    assert max(times).timestamp() <= known.released + 1e-5
    assert known.taken < known.released < known.known_until


@pytest.mark.parametrize("devices", [(), (A,)])
def test_without_a_driver_there_are_phases_and_no_samples(tmp_path, monkeypatch, devices):
    monkeypatch.setenv("EVALPACK_TEST_NVML", "evalpack.leases.nvml:NoDriver")
    with Recorder(tmp_path / "t", JOB) as recorder:
        recorder.devices(devices)
        recorder.phase("generating")
        time.sleep(0.1)
        recorder.answered(1, 1)
        recorder.released()
    path = only_file(tmp_path / "t")
    assert pq.read_table(path).num_rows == 0
    known = read_facts(path)
    assert (known.answers, known.end) == (1, "done")
    assert known.sampling.trouble == ("there is no NVIDIA driver" if devices else None)


def test_a_driver_that_is_out_of_order_is_noted(tmp_path, monkeypatch):
    monkeypatch.setenv("EVALPACK_TEST_NVML", f"{__name__}:OutOfOrder")
    with Recorder(tmp_path / "t", JOB) as recorder:
        recorder.devices([A])
        time.sleep(0.1)
    known = read_facts(only_file(tmp_path / "t"))
    assert known.sampling.trouble == "the driver is out of order"


def test_a_device_that_stops_answering_is_noted_and_the_others_go_on(tmp_path, gpus):
    gpus(**{"GPU-a": [ONE, "fell off the bus"], "GPU-b": [ONE]})
    with Recorder(tmp_path / "t", JOB) as recorder:
        recorder.devices([A, B])
        scripted_nvml.wait_for("GPU-b", 5)
    path = only_file(tmp_path / "t")
    assert read_facts(path).sampling.silent == {"GPU-a": "fell off the bus"}
    uuids = pq.read_table(path)["uuid"].to_pylist()
    assert uuids.count("GPU-a") == 1
    assert uuids.count("GPU-b") >= 4


def test_what_a_device_does_not_support_is_null(tmp_path, gpus):
    gpus(**{"GPU-a": [{"power": 20.0}]})
    with Recorder(tmp_path / "t", JOB) as recorder:
        recorder.devices([A])
        scripted_nvml.wait_for("GPU-a", 1)
    row = pq.read_table(only_file(tmp_path / "t")).to_pylist()[0]
    assert row["power_watts"] == 20.0
    others = ("utilization_percent", "memory_bytes", "temperature_celsius", "energy_millijoules")
    assert [row[name] for name in others] == [None] * 4


def test_a_job_that_fails_leaves_what_it_recorded(tmp_path):
    with pytest.raises(RuntimeError), Recorder(tmp_path / "t", JOB) as recorder:
        recorder.phase("loading")
        raise RuntimeError("no memory")
    known = read_facts(only_file(tmp_path / "t"))
    assert (known.end, known.phases[-1].phase) == ("failed", "loading")


def test_every_attempt_has_a_file_of_its_own(tmp_path):
    for answers in range(3):
        with Recorder(tmp_path / "t", JOB) as recorder:
            for _ in range(answers):
                recorder.answered(1, 1)
    files = list((tmp_path / "t").iterdir())
    assert sorted(read_facts(path).answers for path in files) == [0, 1, 2]


def test_a_killed_job_leaves_what_it_had_and_counts(tmp_path, gpus):
    gpus(**{"GPU-a": [ONE, TWO]})
    with start(tmp_path / "telemetry" / "a-b") as job:
        job.kill()
    path = only_file(tmp_path / "telemetry" / "a-b")
    known, table = stream.read(path)
    assert (known.end, known.answers, known.output_tokens) == (None, 5, 50)
    assert table.num_rows >= 2
    model = summarise(tmp_path, gpus=1)["models"]["a:b"]
    assert model["attempts"] == {"done": 0, "failed": 0, "killed": 1}
    assert (model["answers"], model["output_tokens"], model["prompt_tokens"]) == (5, 50, 15)
    held = model["gpu_seconds"]
    assert held["leased"] == pytest.approx(sum(held[phase] for phase in PHASES), abs=1e-3)
    assert only_file(tmp_path / "telemetry" / "a-b").suffix == ".parquet"
    assert pq.read_table(path.with_suffix(".parquet")).num_rows == table.num_rows


def test_the_stream_of_a_job_that_lives_is_left_alone(tmp_path, gpus):
    gpus(**{"GPU-a": [ONE]})
    with start(tmp_path / "telemetry" / "a-b") as job:
        path = only_file(tmp_path / "telemetry" / "a-b")
        inode = path.stat().st_ino
        summary = summarise(tmp_path, gpus=1)
        assert summary["total"]["running"] == 1
        assert summary["total"]["attempts"] == {"done": 0, "failed": 0, "killed": 0}
        assert only_file(tmp_path / "telemetry" / "a-b").stat().st_ino == inode
        size = path.stat().st_size
        deadline = time.monotonic() + 20
        while path.stat().st_size == size:  # it goes on
            assert time.monotonic() < deadline
            time.sleep(0.05)
        job.kill()


def test_a_stream_of_another_machine_lives_as_long_as_it_grows(tmp_path):
    one = facts([("importing", 0), ("loading", 1)], 5, how=None)
    one.process["host"] = "elsewhere"
    path = write_stream(tmp_path, one)
    assert summarise(tmp_path, gpus=1)["total"]["running"] == 1
    os.utime(path, (0, 0))
    summary = summarise(tmp_path, gpus=1)
    assert summary["total"]["running"] == 0
    assert summary["total"]["attempts"]["killed"] == 1
    assert path.exists()


def test_a_job_goes_on_where_no_more_can_be_written(tmp_path, gpus):
    gpus(**{"GPU-a": [ONE]})
    with start(tmp_path / "t", 6_000) as job:
        assert job.stdout.read() == "went on\n"
    assert job.returncode == 0
    # What came last is in the metadata all the same: the file is smaller than the stream was.
    known = read_facts(only_file(tmp_path / "t"))
    assert (known.end, known.answers) == ("done", 5)


def test_a_job_goes_on_where_nothing_can_be_written(tmp_path, caplog):
    (tmp_path / "t").write_text("a file in the folder's place")
    with Recorder(tmp_path / "t", JOB) as recorder:
        recorder.phase("generating")
        recorder.answered(1, 1)
    assert caplog.text.count("telemetry of this job is incomplete") == 1


def test_readings_survive_the_way_through_a_stream(tmp_path):
    said = Reading(1, 2**40, 0.1, -3, 2**45)
    path = write_stream(
        tmp_path, facts([("loading", 0)], 1), [(0.123456, "GPU-a", "loading", said)]
    )
    row = stream.read(path)[1].to_pylist()[0]
    assert list(row.values())[3:] == [1, 2**40, 0.1, -3, 2**45]
    assert row["time"].microsecond == 123456
