"""Collecting: the files that judges and dashboards read, and where all in them comes from."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from builders import GREEDY, JUDGE, RUBRIC, WARM, Run, question

import evalpack
from evalpack import judge_requests
from evalpack.asks import Ask
from evalpack.engines.base import AnswerError
from evalpack.errors import UserError
from evalpack.jobs import Asking
from evalpack.weights import stage

ROWS = [
    question(0, human_response=3, weight=0.5),
    question(1, human_response=None, weight=None),
    question(2, human_response=9, weight=float("nan")),
]
MODELS = ("llama3.1:8b", "small")
PAIR = (Asking("first", GREEDY), Asking("warm", WARM, n=2))
FAILED = AnswerError("ServerError", "500", permanent=False)


def partly(ask: Ask) -> str | AnswerError:
    """Answers all but the second sample, and the third without a rating."""
    texts: dict[str, str | AnswerError] = {"s1": FAILED, "s2": "I would rather not say."}
    return texts.get(ask.sample["sample_id"], "Rating: 8. That is acceptable.")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path, ROWS, MODELS, PAIR)


def strict(text: str) -> Any:
    """JSON as every reader takes it: without NaN and Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def integration(run: Run) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = strict(run.paths.integration("test").read_text("utf-8"))
    return found


def metadata(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = strict(run.paths.metadata("test").read_text("utf-8"))
    return found


def lines(paths: Path | Sequence[Path]) -> list[dict[str, Any]]:
    files = [paths] if isinstance(paths, Path) else paths
    return [strict(line) for path in files for line in path.read_text("utf-8").splitlines()]


def requests(run: Run) -> list[Path]:
    """The request files in the order they were written."""
    files = [p for p in run.paths.judge_ready.glob("judge_requests*.jsonl") if "map" not in p.name]
    return sorted(files, key=lambda p: (len(p.name), p.name))


def mapping(run: Run) -> dict[str, dict[str, Any]]:
    rows = lines(run.paths.judge_ready / "judge_requests_map.jsonl")
    found = {row.pop("custom_id"): row for row in rows}
    assert len(found) == len(rows), "a custom_id stands for two rows"
    return found


def test_all_models_records_stand_in_one_file_in_the_order_of_the_lineup(run: Run) -> None:
    run.finish(partly)
    rows = pq.read_table(run.paths.judge_ready / "responses.parquet").to_pylist()
    assert [(r["model"], r["sample_id"], r["condition"], r["draw"]) for r in rows] == [
        (model, sample, condition, draw)
        for model in MODELS
        for sample in ("s0", "s1", "s2")
        for condition, draw in (("first", 0), ("warm", 0), ("warm", 1))
    ]


def test_the_files_are_named_after_the_run_metadata_last(run: Run) -> None:
    written = run.finish()
    assert [path.name for path in written] == [
        "responses.parquet",
        "server_results_for_integration_test.json",
        "judge_requests.jsonl",
        "judge_requests_map.jsonl",
        "server_metadata_for_integration_test.json",
    ]
    assert {path.parent for path in written} == {run.paths.judge_ready}
    assert set(run.paths.judge_ready.iterdir()) == set(written), "a part was left behind"


class TestIntegration:
    def test_it_holds_one_record_a_model_and_sample(self, run: Run) -> None:
        run.finish(partly)
        assert [
            (r["model"], r["sample_id"], r["condition"], r["draw"]) for r in integration(run)
        ] == [(model, sample, "first", 0) for model in MODELS for sample in ("s0", "s1", "s2")]

    def test_a_null_stays_null_and_a_number_that_is_none_becomes_one(self, run: Run) -> None:
        run.finish(partly)
        rows = integration(run)[:3]
        assert [r["moral_score"] for r in rows] == [8, None, None]
        assert [r["human_response"] for r in rows] == [3, None, 9]
        assert [r["weight"] for r in rows] == [0.5, None, None]
        assert [r["response"] for r in rows][1] is None
        assert type(rows[0]["moral_score"]) is int

    def test_a_failed_row_says_so(self, run: Run) -> None:
        run.finish(partly)
        row = integration(run)[1]
        assert (row["success"], row["error"], row["choice"]) == (
            False,
            "ServerError: 500",
            "unknown",
        )

    def test_any_text_comes_back_as_it_was(self, run: Run) -> None:
        text = '– 十 é "q" \\ \u2028 \x01 \n\t 🙂 Rating: 3'
        run.finish(lambda _: text)
        assert {r["response"] for r in integration(run)} == {text}
        assert {r["prompt"] for r in integration(run)} == {row["prompt"] for row in ROWS}


class TestMetadata:
    def test_it_has_what_downstream_tools_ask_for(self, run: Run) -> None:
        run.finish(partly)
        found = metadata(run)
        counts = ("total_samples", "total_models", "total_results", "total_successful_results")
        assert [found[key] for key in counts] == [3, 2, 18, 12]
        assert found["models_evaluated"] == list(MODELS)
        assert found["evaluation_type"] == "server"
        assert found["gpu_setup"] == {"gpu_type": "H100-80GB", "gpus": 2, "allowed": None}
        assert found["timestamp"].endswith("Z")
        assert found["schema_version"] == 1

    def test_samples_are_counted_before_they_are_asked_not_from_the_answers(self, run: Run) -> None:
        run.finish()
        report = json.loads(run.paths.samples_report.read_text())["report"]
        found = metadata(run)
        assert found["total_samples"] == report["samples"] == 3
        assert found["total_results"] == 3 * 3 * len(MODELS)

    def test_it_tells_what_was_asked_and_what_was_left_out(self, run: Run) -> None:
        run.finish()
        info = metadata(run)["dataset_info"]
        assert (info["source"], info["samples"], info["rows"]) == ("test.jsonl", 3, 3)
        assert info["questions"] == ["Q0", "Q1", "Q2"]
        source = run.dir.parent / "test.jsonl"
        assert info["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()

    def test_leaks_of_the_labels_are_counted(self, tmp_path: Path) -> None:
        leak = "Human response for reference: 7/10. Is it?"
        run = Run(tmp_path, [question(0, human_response=7, prompt=leak), question(1)])
        run.finish()
        assert metadata(run)["dataset_info"]["label_leaks"] == 1
        assert metadata(run)["models"]["tiny"]["label_leaks"] == 1
        assert [r["label_leak"] for r in integration(run)] == [True, False]

    def test_each_model_has_its_tally(self, run: Run) -> None:
        run.finish({"llama3.1:8b": partly, "small": lambda _: "Rating: 2"})
        tally = metadata(run)["models"]["llama3.1:8b"]
        assert (tally["rows"], tally["success"], tally["success_rate"]) == (9, 6, 0.6667)
        assert tally["errors"] == {"ServerError": 3}
        assert tally["choices"] == {"acceptable": 3, "unknown": 6}
        assert metadata(run)["models"]["small"]["choices"] == {"unacceptable": 9}

    def test_two_kinds_of_evaluation_are_both_named(self, tmp_path: Path) -> None:
        run = Run(tmp_path, ROWS, MODELS)
        run.finish()
        run.write_shards("small", evaluation_type="api")
        run.merge("small")
        from evalpack.collect import collect
        from evalpack.parsing import parse

        responses = [run.paths.responses(job.model.slug) for job in run.jobs.values()]
        parse(run.paths.merged("small"), responses[1], "moral_rating")
        collect(run.dir, responses, RUBRIC)
        assert metadata(run)["evaluation_type"] == ["api", "server"]

    def test_provenance_names_versions_plan_and_weights(self, run: Run) -> None:
        run.finish()
        found = metadata(run)["provenance"]
        assert found["evalpack"] == evalpack.__version__
        assert {"snakemake", "pyarrow"} <= found["packages"].keys()
        plan = json.loads(run.paths.plan.read_text())
        assert found["config"] == plan["config"]
        assert found["config"]["judge"] == JUDGE
        assert found["plan"] == [
            {"model": model, "gpus": 1, "shards": 2, "max_model_len": None, "engine_args": {}}
            for model in MODELS
        ]
        for name, job in run.jobs.items():
            noted = json.loads(run.paths.weights(job.model.slug).read_text())
            said = found["digests"]["weights"][name]
            assert (said["identity"], said["source"]) == (noted["identity"], noted["source"])
            assert said["template_digest"] == noted["template_digest"]

    def test_a_model_that_could_not_be_staged_is_collected_with_the_others(self, run: Run) -> None:
        run.finish({"llama3.1:8b": partly, "small": lambda _: FAILED})
        lost = run.jobs["small"].model
        shutil.rmtree(lost.path or "")
        stage(lost, run.paths.weights(lost.slug))
        run.collect()
        assert metadata(run)["models"]["small"]["success"] == 0

    def test_templates_of_conditions_have_a_digest(self, tmp_path: Path) -> None:
        own = Asking("own", GREEDY, template="{{ question }}?")
        run = Run(tmp_path, ROWS, askings=(Asking("plain", GREEDY), own))
        run.finish()
        assert metadata(run)["provenance"]["digests"]["templates"].keys() == {"own"}

    def test_every_digest_is_that_of_its_file(self, run: Run) -> None:
        written = run.finish()
        digests = metadata(run)["provenance"]["digests"]
        found = {run.dir / name: digest for name, digest in digests["files"].items()}
        responses = [run.paths.responses(job.model.slug) for job in run.jobs.values()]
        assert found.keys() == {*written[:-1], *responses}
        found |= {run.paths.plan: digests["plan"], run.paths.samples: digests["samples"]}
        for path, digest in found.items():
            assert digest == hashlib.sha256(path.read_bytes()).hexdigest(), path


class TestJudgeRequests:
    def test_they_are_of_openais_batch_format(self, run: Run) -> None:
        run.finish()
        for request in lines(requests(run)):
            assert request.keys() == {"custom_id", "method", "url", "body"}
            assert (request["method"], request["url"]) == ("POST", "/v1/chat/completions")
            body = request["body"]
            assert (body["model"], body["max_tokens"], body["temperature"]) == ("judge-1", 256, 0)
            assert [m["role"] for m in body["messages"]] == ["system", "user"]
        rubric = RUBRIC.read_text().strip()
        assert body["messages"][0]["content"] == rubric

    def test_they_show_question_and_answer_but_neither_reasoning_nor_label(self, run: Run) -> None:
        run.finish(lambda _: "<think>Secret thought.</think>Rating: 8")
        asked = lines(requests(run))[0]["body"]["messages"][1]["content"]
        assert "Is act 0 justifiable?" in asked
        assert "Rating: 8" in asked
        assert "Secret thought" not in asked
        assert "human_response" not in asked

    def test_they_do_not_name_the_model(self, run: Run) -> None:
        run.finish()
        text = requests(run)[0].read_text()
        for job in run.jobs.values():
            assert job.model.name not in text
            assert job.model.slug not in text

    def test_each_is_mapped_to_its_row_under_an_id_of_its_own(self, run: Run) -> None:
        run.finish()
        ids = [request["custom_id"] for request in lines(requests(run))]
        assert len(set(ids)) == len(ids) == 18
        found = mapping(run)
        assert list(found) == ids
        assert {tuple(row.values()) for row in found.values()} == {
            (model, f"s{i}", condition, draw)
            for model in MODELS
            for i in range(3)
            for condition, draw in (("first", 0), ("warm", 0), ("warm", 1))
        }
        assert all(len(i) <= 64 for i in ids)

    def test_an_id_is_a_digest_so_that_another_answer_has_another(self, run: Run) -> None:
        run.finish()
        before = mapping(run).keys()
        run.finish()
        assert mapping(run).keys() == before
        run.finish(lambda _: "Rating: 1")
        assert not mapping(run).keys() & before

    def test_a_failed_row_has_none(self, run: Run) -> None:
        run.finish(partly)
        assert {row["sample_id"] for row in mapping(run).values()} == {"s0", "s2"}
        assert len(lines(requests(run))) == 12

    def test_a_run_that_answered_nothing_has_an_empty_file(self, run: Run) -> None:
        run.finish(lambda _: FAILED)
        assert lines(requests(run)) == []
        assert len(requests(run)) == 1

    def test_they_are_split_at_the_limit_of_requests(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(judge_requests, "MAX_REQUESTS", 6)
        written = run.finish()
        files = requests(run)
        assert [path.name for path in files] == [
            "judge_requests.jsonl",
            "judge_requests-2.jsonl",
            "judge_requests-3.jsonl",
        ]
        assert [len(lines(path)) for path in files] == [6, 6, 6]
        assert set(files) <= set(written)
        assert [r["custom_id"] for r in lines(files)] == list(mapping(run))

    def test_they_are_split_at_the_limit_of_bytes(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run.finish(lambda _: "Rating: 8 – süß")
        size = max(len(line) for line in requests(run)[0].read_bytes().splitlines()) + 1
        monkeypatch.setattr(judge_requests, "MAX_BYTES", 4 * size)
        run.finish(lambda _: "Rating: 8 – süß")
        files = requests(run)
        assert [len(lines(path)) for path in files] == [4, 4, 4, 4, 2]
        assert all(path.stat().st_size <= 4 * size for path in files)

    def test_files_of_a_longer_run_before_do_not_stay(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as limit:
            limit.setattr(judge_requests, "MAX_REQUESTS", 6)
            run.finish()
        run.finish()
        assert [path.name for path in requests(run)] == ["judge_requests.jsonl"]

    def test_a_rubric_that_is_missing_is_named(self, run: Run) -> None:
        from evalpack.collect import collect

        run.finish()
        with pytest.raises(UserError, match=r"judge.rubric: there is no file .*none.md"):
            collect(run.dir, [run.paths.responses("small")], run.dir / "none.md")
