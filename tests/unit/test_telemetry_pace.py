"""How often devices are read, whatever a driver costs, and what comes of it in the files."""

import json
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest
import scripted_nvml
from hypothesis import given
from hypothesis import strategies as st
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from evalpack.telemetry import JobInfo, Recorder, cost, summarise
from evalpack.telemetry.attempts import read_facts
from evalpack.telemetry.meter import KINDS
from evalpack.telemetry.pace import MOST_CPU_SHARE, Cost, Load, Pace, fit

JOB = JobInfo(model="a:b", slug="a-b", name="1-of-1", gpus=1)
GPU = scripted_nvml.device("GPU-a")
SAYS = {"utilization": 50, "memory_used": 2**30, "power": 100.0, "temperature": 40, "energy": 1}
FAST = {**dict.fromkeys(KINDS, 0.1), "energy": 1.6}
H100 = {
    "utilization": 60e-6,
    "memory_used": 130e-6,
    "power": 50e-6,
    "temperature": 50e-6,
    "energy": 6e-3,
}
"""As measured with driver 580."""


@pytest.fixture
def gpus(tmp_path, monkeypatch):
    """Makes the machine's GPUs say these things."""

    def says(script, cpu=None, buffers=None):
        made = scripted_nvml.environment(tmp_path / "script.json", script, cpu, buffers)
        for name, value in made.items():
            monkeypatch.setenv(name, value)

    return says


def record(folder, seconds):
    """A job that generates for so long; its facts and samples."""
    with Recorder(folder / "telemetry" / "a-b", JOB) as recorder:
        recorder.phase("loading")
        recorder.devices([GPU])
        recorder.phase("generating")
        time.sleep(seconds)
    (path,) = (folder / "telemetry" / "a-b").iterdir()
    return read_facts(path), pq.read_table(path).to_pandas()


def undisturbed():
    """Tries of what is held against the real clock: a busy machine may spoil one, not all three."""
    return Retrying(
        stop=stop_after_attempt(3), retry=retry_if_exception_type(AssertionError), reraise=True
    )


def scaled(costs, devices):
    return {kind: value * devices for kind, value in costs.items()}


@pytest.mark.parametrize("devices", [1, 2])
def test_only_what_is_dear_is_stretched(devices):
    load = Load(scaled(H100, devices), around=100e-6, flush=2e-3)
    found = fit(load, FAST, MOST_CPU_SHARE)
    assert load.share(found) <= MOST_CPU_SHARE
    assert found["energy"] > 1.6
    assert max(found[kind] for kind in ("utilization", "memory_used", "power")) <= 0.2
    if devices == 1:
        assert found["utilization"] == found["power"] == 0.1


@pytest.mark.parametrize(("devices", "slowest"), [(4, 0.2), (8, 0.4)])
def test_with_many_devices_the_rest_gives_way_to_utilisation_and_power(devices, slowest):
    load = Load(scaled(H100, devices), around=300e-6, flush=1e-3)
    found = fit(load, FAST, MOST_CPU_SHARE)
    assert load.share(found) <= MOST_CPU_SHARE
    assert max(found["utilization"], found["power"]) <= slowest
    assert min(found["temperature"], found["memory_used"]) >= slowest


def test_what_costs_nothing_is_read_at_full_speed():
    assert fit(Load(dict.fromkeys(KINDS, 1e-6)), FAST, MOST_CPU_SHARE) == FAST


@given(
    st.fixed_dictionaries({kind: st.floats(0, 0.05) for kind in KINDS}),
    st.floats(0, 0.002),
    st.floats(0, 0.005),
)
def test_the_cap_holds_whatever_readings_cost(costs, around, flush):
    load = Load(costs, around, flush)
    found = fit(load, FAST, MOST_CPU_SHARE)
    assert load.share(found) <= MOST_CPU_SHARE
    slower = fit(load, FAST, MOST_CPU_SHARE * 0.75)
    for kind in KINDS:
        assert FAST[kind] <= found[kind] <= slower[kind]


def test_a_budget_that_nothing_satisfies_is_no_endless_search():
    assert max(fit(Load({}, flush=1.0), FAST, MOST_CPU_SHARE).values()) > 50


def test_the_first_times_cost_is_forgotten_and_the_rest_averaged():
    one = Cost()
    for seconds in (9.0, 2.0, 4.0):
        one.add(seconds)
    assert one.mean == 3.0


def test_everything_comes_due_on_one_grid_and_what_was_missed_stays_missed():
    pace = Pace(1, 100.0)
    assert pace.due(100.0) == KINDS
    pace.took(KINDS, 100.0)
    assert pace.due(100.05) == ()
    assert pace.next() == pytest.approx(100.1)
    late = 100.1 + 0.35
    pace.took(pace.due(late), late)
    assert pace.next() == pytest.approx(100.5)
    pace.took(KINDS, 101.58)  # of its own accord: the counter is not read again at once
    assert pace.due(101.61) == ("utilization", "memory_used", "power", "temperature")


def test_an_interval_does_not_go_to_and_fro():
    pace = Pace(1, 0.0)
    told = set()
    for number in range(40):
        for kind in KINDS:
            pace.costs[kind].add(H100[kind] * (1.1 if number % 2 else 0.9))
        pace.plan(float(number))
        if number > 10:
            told.add(tuple(pace.intervals.values()))
    assert len(told) == 1


@pytest.mark.parametrize(
    "cpu",
    [
        {"energy": 0.005},
        dict.fromkeys(KINDS, 0.002),
        {"utilization": 0.01, "utilization buffered": 0.01},
    ],
    ids=["the counter", "everything", "utilisation"],
)
def test_dear_readings_are_stretched_until_the_share_is_below_one_percent(tmp_path, gpus, cpu):
    for attempt in undisturbed():
        with attempt:
            gpus({"GPU-a": [SAYS]}, cpu)
            known, _ = record(tmp_path / str(attempt.retry_state.attempt_number), 5.0)
            told = known.sampling.readings
            # At the intervals that it settled on; the beginning and the end read everything once each.
            assert sum(one.seconds / one.interval for one in told.values()) < 0.009
            for kind, seconds in cpu.items():
                if kind in told:
                    assert told[kind].seconds >= seconds
            cheap = [
                kind for kind in told if kind not in cpu and kind not in ("energy", "temperature")
            ]
            assert all(told[kind].interval <= 0.2 for kind in cheap)
            # At taking, phase and release; and before anything is known.
            ends = 5 * sum(cpu.values())
            assert known.sampling.cpu_seconds < 0.02 * known.sampling.wall_seconds + ends


def test_what_the_driver_keeps_is_used_where_readings_are_dear(tmp_path, gpus):
    for attempt in undisturbed():
        with attempt:
            values = [*range(1, 61)]
            gpus(
                {"GPU-a": [SAYS]},
                {"utilization": 0.02},
                {"utilization": {"every": 0.2, "values": values}},
            )
            known, frame = record(tmp_path / str(attempt.retry_state.attempt_number), 6.0)
            told = known.sampling.readings
            assert told["utilization"].how == "buffered"
            assert told["utilization"].interval <= 3.2
            assert told["power"].how == "direct"
            kept = frame[frame["utilization_percent"].notna() & frame["power_watts"].isna()]
            # One after the other, each once, a fifth of a second apart.
            said = kept["utilization_percent"].astype(int).tolist()
            assert len(said) >= 10
            assert said == list(range(said[0], said[0] + len(said)))
            first = kept["time"].iloc[0]
            for at, value in zip(kept["time"], said, strict=True):
                assert (at - first).total_seconds() == pytest.approx(
                    (value - said[0]) * 0.2, abs=0.05
                )
            assert set(kept["phase"]) == {"generating"}
            assert frame["time"].is_monotonic_increasing


def test_samples_have_the_phase_of_their_own_time(tmp_path, gpus):
    gpus(
        {"GPU-a": [SAYS]},
        {"power": 0.02},
        {"power": {"every": 0.05, "values": [123.0]}},
    )
    with Recorder(tmp_path / "t", JOB) as recorder:
        recorder.devices([GPU])
        for _ in range(3):
            for phase in ("loading", "generating"):
                recorder.phase(phase)
                time.sleep(0.7)
    (path,) = (tmp_path / "t").iterdir()
    known = read_facts(path)
    kept = pq.read_table(path).to_pandas().query("power_watts == 123")
    assert known.sampling.readings["power"].how == "buffered"
    assert len(kept) >= 10
    assert set(kept["phase"]) == {"loading", "generating"}
    for row in kept.itertuples():
        at = row.time.timestamp()
        begun = [one for one in known.phases if one.begin <= at + 1e-5]
        assert row.phase == begun[-1].phase or abs(at - begun[-1].begin) < 1e-4
    # The driver keeps twenty a second; ten are enough.
    assert kept["time"].diff().dt.total_seconds().median() >= 0.09


@pytest.mark.parametrize("buffers", [None, {"utilization": {"every": 0.2, "values": []}}])
def test_readings_stay_direct_where_the_driver_keeps_nothing(tmp_path, gpus, buffers):
    gpus({"GPU-a": [SAYS]}, {"utilization": 0.02}, buffers)
    known, frame = record(tmp_path, 2.5)
    told = known.sampling.readings["utilization"]
    assert told.how == "direct"
    assert told.interval > 0.2
    assert set(frame["utilization_percent"].dropna()) == {50}
    assert known.sampling.silent == {}


def test_the_counter_is_read_at_every_phase_and_at_both_ends(tmp_path, gpus):
    counter = [{**SAYS, "energy": 1000 * number} for number in range(100)]
    gpus({"GPU-a": counter})
    with Recorder(tmp_path / "telemetry" / "a-b", JOB) as recorder:
        recorder.devices([GPU])
        scripted_nvml.wait_for("GPU-a", 3)
        for phase in ("loading", "generating", "ending"):
            recorder.phase(phase)
            time.sleep(0.3)
        recorder.released()
    (path,) = (tmp_path / "telemetry" / "a-b").iterdir()
    known, frame = read_facts(path), pq.read_table(path).to_pandas()
    told = frame.dropna(subset=["energy_millijoules"])
    assert told.iloc[0]["time"] == frame["time"].min()
    assert told.iloc[-1]["time"] == frame["time"].max()
    for one in known.phases[1:]:
        at = [row.time.timestamp() for row in told.itertuples() if row.phase == one.phase]
        assert abs(min(at) - one.begin) < 0.15
    count = known.sampling.readings["energy"].count
    assert told["energy_millijoules"].tolist() == [1000 * number for number in range(count)]
    total = summarise(tmp_path, gpus=1)["total"]
    assert total["joules"] == count - 1


def test_what_the_reading_costs_here(tmp_path, gpus):
    gpus(
        {"GPU-a": [{**SAYS, "temperature": None}]},
        {"energy": 0.002},
        {"power": {"every": 0.01, "values": [5.0]}},
    )
    found = cost.measure(1.0)
    told = {(one["reading"], one["how"]): one for one in found["calls"]}
    assert told["energy", "direct"]["cpu_us"] >= 2000
    assert told["energy", "direct"]["wall_us"] >= 2000
    assert told["temperature", "direct"]["trouble"] == "not supported"
    assert told["utilization", "buffered"]["trouble"] == "not supported"
    assert told["power", "buffered"]["samples"] > 0
    assert found["sampler"]["cpu_share"] > 0
    assert json.loads(json.dumps(found)) == found
    text = cost.report(found)
    assert "GPU-a" in text
    assert "% of a core" in text


def test_the_script_says_that_there_is_no_gpu(monkeypatch):
    monkeypatch.setenv("EVALPACK_TEST_NVML", "evalpack.leases.nvml:NoDriver")
    command = [sys.executable, "-m", "evalpack.telemetry.cost"]
    assert "There is no GPU" in subprocess.check_output(command, text=True)
    told = subprocess.check_output([*command, "--json"], text=True)
    assert json.loads(told) == {"devices": [], "calls": [], "sampler": None}
