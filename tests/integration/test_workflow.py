"""The whole workflow on the fake engine: nothing lost, nothing doubled, nothing computed twice."""

import json
import os
import signal
import time

import pyarrow.parquet as pq
import pytest
from project import Project


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def test_every_sample_condition_and_draw_has_one_row_and_a_second_run_does_nothing(project):
    project.config["conditions"] = [
        {"name": "plain"},
        {"name": "warm", "sampling": {"temperature": 1.0}, "n": 2},
    ]
    project.write()
    project.run()
    models, samples = ("tiny", "small"), [s["id"] for s in project.samples]
    asked = [("plain", 0), ("warm", 0), ("warm", 1)]
    assert project.answers().keys() == {
        (m, s, c, d) for m in models for s in samples for c, d in asked
    }
    assert project.engine_log() == {"start": 2, "answer": 60, "close": 2}
    assert "Nothing to be done" in project.run()


def test_the_integration_file_has_one_record_a_model_and_sample(project):
    project.config["conditions"] = [
        {"name": "plain", "n": 3},
        {"name": "other", "system_prompt": "Be terse."},
    ]
    project.write()
    project.run()
    ready = project.results / "judge_ready"
    records = json.loads((ready / "server_results_for_integration_test.json").read_text())
    assert len(records) == 20
    assert {(r["condition"], r["draw"]) for r in records} == {("plain", 0)}
    metadata = json.loads((ready / "server_metadata_for_integration_test.json").read_text())
    assert metadata["total_samples"] == 10
    assert metadata["total_models"] == 2
    assert metadata["total_successful_results"] == 80
    assert metadata["models_evaluated"] == ["tiny", "small"]
    assert metadata["evaluation_type"] == "fake"


def test_equal_prompts_at_temperature_0_are_generated_once_and_joined_to_all_their_samples(project):
    for sample in project.samples:
        sample["prompt"] = "Is it justifiable?"
    project.write()
    project.run()
    assert project.engine_log()["answer"] == 2
    assert len(project.answers()) == 20


def test_after_kill_9_of_the_whole_group_the_same_command_finishes_without_repeating_an_answer(
    project,
):
    project.misbehave(delay=0.3)
    process = project.start()
    project.wait_for_answers(4, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    project.misbehave()
    project.run()
    assert len(project.answers()) == 20
    keys = project.answered_keys()
    assert len(keys) == len(set(keys)) + len({"tiny", "small"}) * 10 - 20
    journal = [
        json.loads(line)["key"]
        for path in project.results.glob("journal/*/*.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert len(journal) == 20


def test_a_run_whose_snakemake_alone_was_killed_leaves_no_job_behind_and_continues(project):
    project.misbehave(delay=0.3)
    process = project.start()
    project.wait_for_answers(3, process)
    process.kill()
    process.wait()
    process.stdout.close()
    time.sleep(2)
    before = project.engine_log()["answer"]
    time.sleep(1)
    assert project.engine_log()["answer"] == before, "an orphan goes on generating"
    project.misbehave()
    project.run()
    assert len(project.answers()) == 20


def test_more_shards_start_no_engine_and_give_the_same_rows(project):
    project.run()
    before, rows = project.answers(), project.responses()
    project.clear_engine_log()
    project.config["models"][0]["shards"] = 3
    project.write()
    project.run()
    assert not project.engine_log()
    assert project.answers() == before
    assert project.responses() == rows
    assert (project.results / "generations" / "tiny" / "3-of-3.parquet").exists()


def test_five_samples_more_run_five_generations_a_model_and_an_asked_prompt_runs_none(project):
    project.run()
    project.clear_engine_log()
    project.samples += [{"id": f"new{i}", "prompt": f"Is deed {i} right?"} for i in range(5)]
    project.write()
    project.run()
    assert project.engine_log()["answer"] == 10
    project.clear_engine_log()
    project.samples.append({"id": "again", "prompt": project.samples[0]["prompt"]})
    project.write()
    project.run()
    assert not project.engine_log()
    assert len(project.answers()) == 32


def test_another_limit_reruns_only_what_it_cut(project):
    project.config["sampling"]["max_tokens"] = 3
    project.write()
    project.run()
    assert {r["finish_reason"] for r in project.responses()} == {"length"}
    project.config["sampling"]["max_tokens"] = 64
    project.write()
    project.run()
    project.clear_engine_log()
    project.config["sampling"]["max_tokens"] = 128
    project.write()
    project.run()
    assert not project.engine_log()


def test_a_lost_journal_is_recovered_from_the_shards(project):
    project.run()
    before = project.answers()
    for path in project.results.glob("journal/*/*.jsonl"):
        path.unlink()
    project.clear_engine_log()
    project.samples.append({"id": "new", "prompt": "Is this new?"})
    project.write()
    project.run()
    assert project.engine_log()["answer"] == 2
    assert before.items() <= project.answers().items()


def test_two_conditions_that_differ_only_in_the_limit_have_answers_of_their_own(project):
    project.config["conditions"] = [
        {"name": "long"},
        {"name": "short", "sampling": {"max_tokens": 2}},
    ]
    project.write()
    project.run()
    lengths = {(r["condition"], r["completion_tokens"] > 2) for r in project.responses()}
    assert lengths == {("long", True), ("short", False)}


def test_a_model_that_cannot_load_does_not_stop_the_others_and_is_all_that_is_tried_again(project):
    project.misbehave(refuse=["small"])
    output = project.run(fails=True)
    rows = {m: [r for r in project.responses() if r["model"] == m] for m in ("tiny", "small")}
    assert all(r["success"] for r in rows["tiny"])
    assert len(rows["small"]) == 10
    assert {r["error"] for r in rows["small"]} == {
        "EngineFailure: cannot load small: the weights are corrupt"
    }
    assert "small (0/10: 10 × EngineFailure)" in output
    assert "Traceback" not in output.split("quality_gate")[-1]
    project.misbehave()
    project.clear_engine_log()
    project.run()
    assert project.engine_log() == {"start": 1, "answer": 10, "close": 1}
    assert all(r["success"] for r in project.responses())


def test_a_job_that_is_killed_each_time_it_goes_on_still_ends(project):
    project.misbehave(kill_after={"small": 1})
    output = project.run(fails=True)
    small = [r for r in project.responses() if r["model"] == "small"]
    assert len(small) == 10
    assert {r["error"].partition(":")[0] for r in small if r["error"]} == {"Killed"}
    assert 1 <= sum(r["success"] for r in small) < 10
    assert "Killed" in output


def test_an_overlong_prompt_is_a_permanent_error_row_and_is_not_tried_again(project):
    project.samples.append({"id": "long", "prompt": "word " * 400})
    project.config["planning"]["max_model_len"] = 100
    project.config["quality"] = {"min_success_rate": 1.0}
    project.write()
    project.run(fails=True)
    errors = {r["sample_id"]: r["error"] for r in project.responses() if r["error"]}
    assert errors.keys() == {"long"}
    assert errors["long"].startswith("PromptTooLong")
    project.clear_engine_log()
    project.run(fails=True)
    assert not project.engine_log()


def test_a_model_whose_weights_are_missing_has_error_rows_and_does_not_stop_the_others(project):
    project.config["models"][1]["path"] = "models/gone"
    project.write()
    output = project.run(fails=True)
    rows = {m: [r for r in project.responses() if r["model"] == m] for m in ("tiny", "small")}
    assert all(r["success"] for r in rows["tiny"])
    assert {r["error"].partition(":")[0] for r in rows["small"]} == {"WeightsMissing"}
    assert "small (0/10: 10 × WeightsMissing)" in output
    assert "models/gone holds no complete checkpoint" in project.run("stage", fails=True)
    (project.folder / "models" / "small").rename(project.folder / "models" / "gone")
    project.run()
    assert all(r["success"] for r in project.responses())


def test_answers_stand_when_the_weights_are_gone(project):
    project.run()
    rows = project.responses()
    project.clear_engine_log()
    (project.folder / "models" / "tiny").rename(project.folder / "elsewhere")
    project.config["models"][0]["shards"] = 2
    project.write()
    project.run()
    assert not project.engine_log()
    assert project.responses() == rows


def test_deleted_files_are_made_again_without_an_engine(project):
    project.run()
    rows = project.responses()
    project.clear_engine_log()
    ready = project.results / "judge_ready"
    for path in [*ready.iterdir(), project.results / "responses" / "tiny.parquet"]:
        path.unlink()
    project.run()
    assert not project.engine_log()
    assert project.responses() == rows
    assert (ready / "judge_requests_map.jsonl").exists()


def test_another_system_prompt_of_a_model_is_another_question(project):
    project.config["models"][0]["system_prompt"] = "Be kind."
    project.write()
    project.run()
    project.clear_engine_log()
    project.config["models"][0]["system_prompt"] = "Be cruel."
    project.write()
    project.run()
    assert project.engine_log()["answer"] == 10


def test_a_condition_more_generates_its_own_answers_only(project):
    project.run()
    project.clear_engine_log()
    project.config["conditions"] = [
        {"name": "default"},
        {"name": "short", "sampling": {"max_tokens": 2}},
    ]
    project.write()
    project.run()
    assert project.engine_log()["answer"] == 20
    assert len(project.answers()) == 40


def test_a_second_snakemake_on_a_live_run_is_refused_and_the_first_one_finishes(project):
    project.misbehave(delay=0.2)
    first = project.start()
    project.wait_for_answers(1, first)
    output = project.run(fails=True)
    assert "another snakemake is working on this run" in output
    assert "Traceback" not in output
    output, _ = first.communicate(timeout=120)
    assert first.returncode == 0, output
    assert len(project.answers()) == 20


def test_a_damaged_shard_is_refused_in_words(project):
    project.run()
    shard = project.results / "generations" / "tiny" / "1-of-1.parquet"
    damaged = bytearray(shard.read_bytes())
    damaged[-20] ^= 0xFF
    shard.write_bytes(damaged)
    output = project.run(fails=True)
    assert f"{shard.relative_to(project.folder)} is damaged" in output
    shard.unlink()
    project.clear_engine_log()
    project.run()
    assert not project.engine_log()


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("samplez", 1, "unknown key `samplez`"),
        ("models", ["nonsense:1b"], "unknown model `nonsense:1b`"),
        ("models", ["smollm2:135m", "smollm2:135m"], "`smollm2:135m` is named twice"),
        ("run", "../x", "run: '../x' does not match"),
        ("sampling", {"temprature": 1}, "unknown key `temprature`"),
        ("samples", {"path": "missing.csv"}, "missing.csv"),
    ],
)
def test_a_mistake_in_the_configuration_is_one_line_before_any_job(project, key, value, complaint):
    project.config[key] = value
    project.write()
    output = project.run("-n", fails=True)
    assert complaint in output
    assert "Traceback" not in output


def test_editing_a_parser_starts_no_engine(project):
    project.run()
    project.clear_engine_log()
    before = pq.read_table(project.results / "responses" / "tiny.parquet")
    code = project.folder / "workflow" / "scripts" / "evalpack" / "extract" / "plain.py"
    code.write_text(code.read_text() + "# edited\n")
    output = project.run()
    assert "rule parse" in output
    assert "rule generate" not in output
    assert not project.engine_log()
    assert pq.read_table(project.results / "responses" / "tiny.parquet") == before
