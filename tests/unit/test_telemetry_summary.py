"""The summary: numbers worked out by hand, and what holds of any run."""

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
from attempts_by_hand import facts, write, write_stream
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalpack.paths import RunPaths
from evalpack.telemetry import samples, summarise, write_summary
from evalpack.telemetry.facts import PHASES, Facts, ReadingFacts, Sampling
from evalpack.telemetry.meter import Reading

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "telemetry.md"
NARROW = [("importing", 0), ("waiting", 5), ("loading", 10), ("generating", 30), ("ending", 90)]


def later(phases, seconds):
    return [(phase, begin + seconds) for phase, begin in phases]


def test_one_job_on_one_gpu(tmp_path):
    write(tmp_path, facts(NARROW, 100, answers=500, tokens=30_000))
    summary = summarise(tmp_path, gpus=1)
    total, model = summary["total"], summary["models"]["m"]
    seconds = {"importing": 5, "waiting": 5, "loading": 20, "generating": 60, "ending": 10}
    assert total["seconds"] == model["seconds"] == seconds
    held = {"importing": 0, "waiting": 0, "loading": 20, "generating": 60, "ending": 10}
    assert total["gpu_seconds"] == {**held, "leased": 90, "wasted": 0, "sampled": 0}
    assert total["gpu_hours"] == 0.025
    assert total["attempts"] == {"done": 1, "failed": 0, "killed": 0}
    assert (total["answers"], total["output_tokens"]) == (500, 30_000)
    assert total["tokens_per_second"] == total["tokens_per_gpu_second"] == 500
    assert total["makespan_seconds"] == 100
    assert total["available_gpu_seconds"] == 100
    assert total["busy_share"] == 0.6
    assert total["idle_gpu_seconds"] == 20
    assert total["unleased_gpu_seconds"] == 10
    assert total["speed_up"]["one_job_at_a_time"] == {"seconds": 95, "ratio": 0.95}
    assert total["speed_up"]["one_gpu_at_a_time"] == {"seconds": 90, "ratio": 0.9}
    # Against the GPU that it had, while it worked.
    assert model["makespan_seconds"] == 95
    assert model["available_gpu_seconds"] == 90
    assert model["busy_share"] == pytest.approx(60 / 90, abs=1e-4)
    assert model["idle_gpu_seconds"] == 10
    assert total["joules"] is model["joules"] is total["joules_per_1000_answers"] is None


def test_two_gpus_that_overlap_and_then_a_wide_job(tmp_path):
    # GPU 0: 0 to 100. GPU 1: 20 to 60. Both: 100 to 200.
    phases = [("importing", 0), ("loading", 0), ("generating", 20)]
    write(tmp_path, facts(phases, 100, model="a", tokens=8000, answers=1))
    phases = [("importing", 10), ("loading", 20), ("generating", 40)]
    short = facts(phases, 60, model="b", devices=["GPU-1"], tokens=1000, answers=1)
    write(tmp_path, short)
    phases = [("importing", 40), ("waiting", 45), ("loading", 100), ("generating", 150)]
    wide = facts(phases, 200, model="c", devices=["GPU-0", "GPU-1"], tokens=5000, answers=1)
    write(tmp_path, wide)
    summary = summarise(tmp_path, gpus=2)
    total = summary["total"]
    assert total["makespan_seconds"] == 200
    assert total["gpu_seconds"]["leased"] == 100 + 40 + 200
    assert total["gpu_seconds"]["generating"] == 80 + 20 + 100
    assert total["seconds"]["generating"] == 80 + 20 + 50
    assert total["seconds"]["waiting"] == 55
    assert total["busy_share"] == 200 / 400
    assert total["gpu_seconds"]["loading"] == 20 + 20 + 100
    assert total["idle_gpu_seconds"] == 400 - 200 - 140
    assert total["unleased_gpu_seconds"] == 60
    assert total["tokens_per_second"] == pytest.approx(14_000 / 130, abs=1e-3)  # 20-100, 150-200
    assert total["tokens_per_gpu_second"] == 14_000 / 200
    assert total["speed_up"]["one_job_at_a_time"] == {"seconds": 100 + 50 + 105, "ratio": 1.275}
    assert total["speed_up"]["one_gpu_at_a_time"] == {"seconds": 340, "ratio": 1.7}
    assert summary["models"]["c"]["gpu_seconds"]["generating"] == 100
    assert summary["models"]["c"]["tokens_per_second"] == 100
    assert summary["models"]["c"]["tokens_per_gpu_second"] == 50


def test_shards_of_a_model_side_by_side_are_faster_together(tmp_path):
    for number in (1, 2):
        devices = [f"GPU-{number}"]
        write(tmp_path, facts(NARROW, 100, name=f"{number}-of-2", devices=devices, tokens=6000))
    model = summarise(tmp_path, gpus=2)["models"]["m"]
    assert model["tokens_per_second"] == 200
    assert model["tokens_per_gpu_second"] == 100
    assert model["speed_up"]["one_job_at_a_time"] == {"seconds": 190, "ratio": 2.0}


def test_the_time_between_two_sessions_is_nobodys_and_that_between_two_jobs_is_ours(tmp_path):
    write(tmp_path, facts(NARROW, 100, name="1-of-3"))
    write(tmp_path, facts(later(NARROW, 110), 210, name="2-of-3"))
    write(tmp_path, facts(later(NARROW, 4000), 4100, name="3-of-3", workflow="second"))
    summary = summarise(tmp_path, gpus=1)
    assert [one["seconds"] for one in summary["sessions"]] == [210, 100]
    assert [one["attempts"] for one in summary["sessions"]] == [2, 1]
    assert summary["sessions"][0]["begin"] == "2027-01-15T08:00:00.000Z"
    assert summary["total"]["makespan_seconds"] == 310
    assert summary["total"]["between_jobs_seconds"] == 10
    assert summary["total"]["busy_share"] == pytest.approx(180 / 310, abs=1e-4)


def test_attempts_of_unknown_workflows_are_one_session_where_they_overlap(tmp_path):
    for number, start in enumerate((0, 50, 500)):
        one = facts(later(NARROW, start), start + 100, name=f"{number}-of-3", workflow=None)
        write(tmp_path, one)
    assert [one["seconds"] for one in summarise(tmp_path, 1)["sessions"]] == [150, 100]


def test_a_retry_that_answered_counts_as_work_and_one_that_did_not_as_waste(tmp_path):
    useless = [("importing", 0), ("waiting", 5), ("loading", 10)]
    write(tmp_path, facts(useless, 30, how="failed"))
    write(tmp_path, facts(later(NARROW, 30), 100, how="killed", answers=10, tokens=100))
    write(tmp_path, facts(later(NARROW, 100), 200, answers=20, tokens=200))
    total = summarise(tmp_path, gpus=1)["total"]
    assert total["attempts"] == {"done": 1, "failed": 1, "killed": 1}
    assert (total["answers"], total["output_tokens"]) == (30, 300)
    assert total["makespan_seconds"] == 200
    assert total["gpu_seconds"]["leased"] == 20 + 60 + 90
    assert total["gpu_seconds"]["wasted"] == 20
    assert total["speed_up"]["one_gpu_at_a_time"]["seconds"] == 150
    assert total["speed_up"]["one_job_at_a_time"]["seconds"] == 65 + 95


def test_energy_comes_from_the_counter_and_use_from_the_samples_while_generating(tmp_path):
    rows = [
        (10, "GPU-0", "loading", Reading(0, 5, 100.0, 40, 1_000_000)),
        (30, "GPU-0", "generating", Reading(80, 70, 300.0, 60, 4_000_000)),
        (60, "GPU-0", "generating", Reading(100, 60, 400.0, 65, 9_000_000)),
    ]
    write(tmp_path, facts(NARROW, 100, answers=500), rows)
    total = summarise(tmp_path, gpus=1)["total"]
    assert total["joules"] == 8000
    assert total["joules_per_1000_answers"] == 16_000
    assert total["generating_utilization_percent"] == 90
    assert total["generating_power_watts"] == 350
    assert total["peak_memory_bytes"] == 70
    assert total["gpu_seconds"]["sampled"] == 50


@pytest.mark.parametrize("counters", [[None, None, None], [5_000, 9_000, 10]])
def test_without_a_counter_or_after_it_was_set_back_power_is_integrated(tmp_path, counters):
    rows = [
        (at, "GPU-0", "generating", Reading(power=power, energy=counter))
        for at, power, counter in zip((10, 20, 40), (100.0, 300.0, 200.0), counters, strict=True)
    ]
    write(tmp_path, facts(NARROW, 100, answers=1), rows)
    assert summarise(tmp_path, gpus=1)["total"]["joules"] == 10 * 200 + 20 * 250


def test_what_a_killed_job_took_after_its_last_look_at_the_counter_is_integrated(tmp_path):
    rows = [
        (at, "GPU-0", "generating", Reading(power=100.0, energy=counter))
        for at, counter in ((10, 1000), (15, None), (20, 901_000), (22, None), (25, None))
    ]
    write(tmp_path, facts(NARROW, 100, answers=1), rows)
    assert summarise(tmp_path, gpus=1)["total"]["joules"] == 900 + 5 * 100


def test_energy_of_several_devices_adds_up_each_in_its_own_way(tmp_path):
    rows = [
        (at, uuid, "generating", Reading(power=power, energy=counter))
        for at in (10, 20)
        for uuid, power, counter in [("GPU-0", 100.0, at * 1000), ("GPU-1", 50.0, None)]
    ]
    write(tmp_path, facts(NARROW, 100, devices=["GPU-0", "GPU-1"]), rows)
    assert summarise(tmp_path, gpus=2)["total"]["joules"] == 10 + 500


def test_a_dead_jobs_stream_counts_up_to_its_last_word_and_becomes_parquet(tmp_path):
    dead = facts(NARROW[:4], 80, how=None, lease=(10, 80), answers=7, tokens=70)
    path = write_stream(tmp_path, dead, [(50, "GPU-0", "generating", Reading(power=1.0))])
    with path.open("r+b") as file:  # torn in the middle of what came last
        file.truncate(path.stat().st_size - 300)
    first = summarise(tmp_path, gpus=1)
    assert first["total"]["attempts"]["killed"] == 1
    assert first["total"]["answers"] == 7
    assert first["total"]["seconds"]["generating"] == 50
    assert first["total"]["gpu_seconds"]["leased"] == 70
    assert not path.exists()
    assert path.with_suffix(".parquet").exists()
    assert summarise(tmp_path, gpus=1) == first


def test_a_stream_without_a_whole_beginning_is_left_and_left_out(tmp_path, caplog):
    path = write_stream(tmp_path, facts(NARROW, 100))
    path.write_bytes(path.read_bytes()[:40])
    assert summarise(tmp_path, gpus=1)["models"] == {}
    assert str(path) in caplog.text
    assert path.exists()


def test_servers_elsewhere_have_answers_and_no_part_in_these_gpus(tmp_path):
    write(tmp_path, facts(NARROW, 100, model="here"))
    phases = [("importing", 0), ("loading", 1), ("generating", 2)]
    far = facts(phases, 5000, model="far", devices=(), gpus=0, answers=9, tokens=90)
    write(tmp_path, far)
    summary = summarise(tmp_path, gpus=1)
    assert summary["total"]["makespan_seconds"] == 100
    assert summary["total"]["busy_share"] == 0.6
    assert summary["total"]["answers"] == 9
    assert summary["models"]["far"]["busy_share"] is None
    assert summary["models"]["far"]["speed_up"]["one_gpu_at_a_time"]["ratio"] is None


def test_a_machine_without_gpus_has_times_and_no_shares(tmp_path):
    write(tmp_path, facts(NARROW, 100, devices=(), gpus=1, tokens=600))
    total = summarise(tmp_path, gpus=1)["total"]  # the CPU's slot
    assert total["tokens_per_second"] == 10
    assert total["busy_share"] is None
    assert total["gpu_hours"] == 0
    assert total["speed_up"]["one_job_at_a_time"]["seconds"] == 95


def test_a_run_that_is_done_keeps_its_summary(tmp_path):
    path = RunPaths(tmp_path).telemetry_summary
    for number in (1, 2):
        write(tmp_path, facts(NARROW, 100, name=f"{number}-of-2", devices=[f"GPU-{number}"]))
    first = write_summary(tmp_path, gpus=2)
    assert json.loads(path.read_text()) == first
    assert write_summary(tmp_path, gpus=2) == first
    # What it could use then does not change by what it may use now.
    assert write_summary(tmp_path, gpus=8) == first
    for file in tmp_path.glob("telemetry/*/*.parquet"):
        file.unlink()
    write_summary(tmp_path, gpus=2)
    assert json.loads(path.read_text()) == first


def test_a_run_that_goes_on_with_other_gpus_counts_each_session_by_its_own(tmp_path):
    write(tmp_path, facts(NARROW, 100, name="1-of-2"))
    write_summary(tmp_path, gpus=2)
    write(tmp_path, facts(later(NARROW, 1000), 1100, name="2-of-2", workflow="second"))
    summary = write_summary(tmp_path, gpus=4)
    assert [one["gpus"] for one in summary["sessions"]] == [2, 4]
    assert summary["total"]["available_gpu_seconds"] == 600
    assert summary["total"]["busy_share"] == 0.2


def test_more_gpus_in_use_than_were_said_to_be_there_were_there(tmp_path):
    for number in (1, 2):
        write(tmp_path, facts(NARROW, 100, name=f"{number}-of-2", devices=[f"GPU-{number}"]))
    assert summarise(tmp_path, gpus=1)["sessions"][0]["gpus"] == 2


def names(value):
    """All keys of a summary, but for the models' own names."""
    for key, below in value.items():
        yield key
        if isinstance(below, dict):
            yield from names(below.get("m", below) if key == "models" else below)
        elif isinstance(below, list):
            yield from (name for one in below for name in names(one))


def test_every_field_of_the_summary_and_every_column_is_in_the_guide(tmp_path):
    write(tmp_path, facts(NARROW, 100))
    told = set(re.findall(r"`([^`\n]+)`", GUIDE.read_text(encoding="utf-8")))
    assert set(names(summarise(tmp_path, gpus=1))) <= told
    assert set(samples.PARQUET.names) <= told
    assert {
        field.name for kind in (Facts, Sampling, ReadingFacts) for field in fields(kind)
    } <= told


STEPS = st.lists(st.floats(0, 50, allow_subnormal=False), min_size=5, max_size=5)
ATTEMPTS = st.lists(
    st.tuples(
        st.floats(0, 300, allow_subnormal=False),
        STEPS,
        st.integers(0, 3),
        st.sampled_from(["first", "second", None]),
        st.sampled_from(["done", "failed", "killed"]),
        st.integers(0, 5),
    ),
    max_size=5,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(attempts=ATTEMPTS, gpus=st.integers(0, 4))
def test_shares_are_shares_and_gpu_seconds_add_up(attempts, gpus, tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    for start, steps, width, workflow, how, answers in attempts:
        begins = [start + sum(steps[:number]) for number in range(5)]
        devices = [f"GPU-{number}" for number in range(width)]
        one = facts(
            list(zip(PHASES, begins, strict=True)),
            begins[-1] + steps[-1],
            devices=devices,
            workflow=workflow,
            how=how,
            answers=answers,
        )
        write(run, one)
    summary = summarise(run, gpus)
    for block in (summary["total"], *summary["models"].values()):
        held = block["gpu_seconds"]
        assert sum(held[phase] for phase in PHASES) == pytest.approx(held["leased"], abs=1e-2)
        assert 0 <= held["wasted"] <= held["leased"] + 1e-3
        used = held["loading"] + held["generating"] + block["idle_gpu_seconds"]
        assert used == pytest.approx(block["available_gpu_seconds"], abs=1e-2)
        assert block["busy_share"] is None or 0 <= block["busy_share"] <= 1
        assert block["idle_gpu_seconds"] >= -1e-3
    total = summary["total"]
    assert total["unleased_gpu_seconds"] >= -1e-3
    assert total["between_jobs_seconds"] >= -1e-3
    leased = sum(block["gpu_seconds"]["leased"] for block in summary["models"].values())
    assert leased == pytest.approx(total["gpu_seconds"]["leased"], abs=1e-2)
    assert total["gpu_seconds"]["leased"] <= total["available_gpu_seconds"] + 1e-2
