"""Pilots: a few answers first, which tell lengths and speed, and which the run does not ask for again."""

import json
from collections import Counter
from typing import Any

import pytest
from project import Project

MANY = 150


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path)
    project.samples = [{"id": f"s{i}", "prompt": f"Is act {i} justifiable?"} for i in range(MANY)]
    project.write()
    return project


def measured(project: Project) -> dict[str, dict[str, Any]]:
    """What the calibration file of the CPU holds, by job."""
    path = project.folder / "results" / "_calibration" / "CPU.json"
    return {one["job"]: one for one in json.loads(path.read_text())["measurements"]}


def test_64_answers_a_model_are_asked_first_and_the_run_asks_none_of_them_again(project):
    output = project.evalpack("pilot")
    assert "Pilot of tiny, small" in output
    assert output.endswith("Measured. `evalpack plan --calibrated` plans with it.\n")
    assert project.engine_log() == {"start": 2, "answer": 128, "close": 2}
    pilots = measured(project)
    assert pilots.keys() == {"test/tiny/pilot", "test/small/pilot"}
    assert {(one["gpu_type"], one["requests"]) for one in pilots.values()} == {("CPU", 64)}
    written = json.loads((project.results / "pilot" / "tiny.json").read_text())
    assert written["measured"]["output_tokens"] == pilots["test/tiny/pilot"]["output_tokens"]
    assert "Times are calibrated by 2 finished jobs" in project.evalpack("plan", "--calibrated")

    assert "measured on these GPUs before" in project.evalpack("pilot")
    project.run()
    assert len(project.answers()) == 2 * MANY
    assert set(Counter(project.answered_keys()).values()) == {1}
    assert len(project.answered_keys()) == 2 * MANY
    assert measured(project).keys() == pilots.keys() | {"test/tiny/1-of-1", "test/small/1-of-1"}
    assert measured(project)["test/tiny/1-of-1"]["requests"] == MANY - 64
    assert "Nothing to be done" in project.run()


def test_of_fewer_samples_all_are_asked_and_nothing_is_left_for_the_run(project):
    project.samples = project.samples[:10]
    project.write()
    project.evalpack("pilot")
    assert project.engine_log() == {"start": 2, "answer": 20, "close": 2}
    project.clear_engine_log()
    project.run()
    assert not project.engine_log()
    assert len(project.answers()) == 20
    assert "Nothing new was measured of tiny" in project.evalpack("pilot", "tiny")


def test_a_named_model_is_asked_again_and_alone(project):
    project.evalpack("pilot", "tiny")
    assert project.engine_log() == {"start": 1, "answer": 64, "close": 1}
    project.evalpack("pilot", "tiny")
    assert len(set(project.answered_keys())) == 128
    assert measured(project).keys() == {"test/tiny/pilot"}
    project.clear_engine_log()
    assert "Pilot of small\n" in project.evalpack("pilot")
    assert project.engine_log()["start"] == 1


def test_a_pilot_that_fails_is_a_sentence_and_the_others_are_measured(project):
    project.misbehave(refuse=["small"])
    output = project.evalpack("pilot", fails=True)
    said = "evalpack: not all pilots could run (above is why)"
    assert said in output.splitlines()[-1]
    assert "cannot load small: the weights are corrupt" in output
    assert measured(project).keys() == {"test/tiny/pilot"}
    project.misbehave()
    project.clear_engine_log()
    assert "Pilot of small\n" in project.evalpack("pilot")
    assert project.engine_log() == {"start": 1, "answer": 64, "close": 1}


def test_the_pilots_plan_does_not_pin_the_run(project):
    project.evalpack("pilot")
    project.config["models"][0]["shards"] = 3
    project.write()
    project.run()
    assert set(Counter(project.answered_keys()).values()) == {1}
    assert len(list((project.results / "generations" / "tiny").glob("*-of-3.parquet"))) == 3


def test_a_pilot_beside_a_live_run_is_refused(project):
    project.samples = project.samples[:20]
    project.write()
    project.misbehave(delay=0.2)
    process = project.start()
    project.wait_for_answers(1, process)
    output = project.evalpack("pilot", fails=True)
    assert "another snakemake is working on this run" in output
    assert "Traceback" not in output
    process.terminate()
    process.communicate(timeout=120)
