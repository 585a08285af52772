"""The summary: tallies and speeds from the records alone, and warnings that cannot be missed."""

import json
import pickle
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from builders import Run, question

from evalpack.cli import main
from evalpack.engines.base import AnswerError
from evalpack.summary import ModelTally, print_summary

START = datetime(2026, 11, 23, 1, 0, 0, tzinfo=UTC)


def row(
    start: float = 0, seconds: float | None = 1, tokens: int | None = 10, **more: Any
) -> dict[str, Any]:
    """A record of an answer that began and took so many seconds."""
    end = START + timedelta(seconds=start + (seconds or 0))
    return {
        "prompt": f"prompt {start} {more}",
        "condition": "default",
        "draw": 0,
        "success": True,
        "error": None,
        "choice": "acceptable",
        "finish_reason": "stop",
        "completion_tokens": tokens,
        "inference_time": seconds,
        "timestamp": end.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "evaluation_type": "server",
        "env_id": "engine 1",
        "label_leak": False,
        **more,
    }


def of(*rows: dict[str, Any]) -> ModelTally:
    found = ModelTally("tiny")
    for r in rows:
        found.add(r)
    return found


class TestTokensPerSecond:
    @pytest.mark.parametrize(
        ("spans", "speed"),
        [
            ([(0, 2)], 10 / 2),
            ([(0, 2), (2, 2)], 20 / 4),
            ([(0, 2), (1, 2)], 20 / 3),
            ([(0, 4), (1, 1)], 20 / 4),
            ([(0, 1), (100, 1)], 20 / 2),
            ([(5, 1), (0, 2), (1, 5)], 30 / 6),
        ],
    )
    def test_it_counts_the_time_in_which_something_was_generated(
        self, spans: list[tuple[float, float]], speed: float
    ) -> None:
        found = of(*(row(start, seconds) for start, seconds in spans)).tokens_per_second
        assert found == pytest.approx(speed)

    def test_rows_that_share_a_generation_count_once(self) -> None:
        shared = [row(0, 2, prompt="the same") for _ in range(5)]
        assert of(*shared).tokens_per_second == pytest.approx(5)

    def test_others_of_its_batch_count_though_they_ended_together(self) -> None:
        batch = [row(0, 2, prompt=f"prompt {i}") for i in range(5)]
        assert of(*batch).tokens_per_second == pytest.approx(25)

    def test_draws_of_one_prompt_are_generations_of_their_own(self) -> None:
        draws = [row(0, 2, prompt="the same", draw=i) for i in range(3)]
        assert of(*draws).tokens_per_second == pytest.approx(15)

    def test_without_times_or_tokens_there_is_no_speed(self) -> None:
        assert of(row(seconds=None)).tokens_per_second is None
        assert of(row(tokens=None)).tokens_per_second is None
        assert of().tokens_per_second is None
        assert of(row(seconds=0.0)).tokens_per_second is None
        assert of(row(seconds=None)).as_json()["tokens_per_second"] is None


def test_a_tally_counts_what_became_of_the_rows() -> None:
    failed = row(success=False, error="Truncated: 64 tokens", choice="unknown")
    found = of(row(), row(1), failed, row(2, success=False, error="EmptyAnswer: no"))
    said = found.as_json()
    assert (said["rows"], said["success"], said["success_rate"]) == (4, 2, 0.5)
    assert said["errors"] == {"Truncated": 1, "EmptyAnswer": 1}
    assert said["choices"] == {"acceptable": 3, "unknown": 1}
    assert said["finish_reasons"] == {"stop": 4}


def test_a_model_without_rows_has_no_success() -> None:
    assert of().success_rate == 0


def test_a_closed_tally_keeps_its_counts_and_its_speed() -> None:
    found = of(row(0, 2), row(2, 2), row(seconds=None))
    before = found.as_json()
    found.close()
    assert found.as_json() == before
    assert found.tokens_per_second == pytest.approx(20 / 4)


def test_closing_lets_go_of_what_grows_with_the_rows() -> None:
    found = of(*(row(i) for i in range(1000)))
    grown = len(pickle.dumps(found))
    found.close()
    assert len(pickle.dumps(found)) < grown / 50


class TestPrinted:
    @pytest.fixture(autouse=True)
    def _wide(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Lines are not wrapped."""
        monkeypatch.setenv("COLUMNS", "400")

    def test_the_table_has_a_line_a_model(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run = Run(tmp_path, [question(i) for i in range(4)], ("tiny", "small"))
        failed = AnswerError("ServerError", "500", permanent=False)
        run.finish({"tiny": lambda _: "Rating: 8", "small": lambda _: failed})
        print_summary(run.paths.metadata("test"))
        lines = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert ["tiny", "4", "100.0%", "100%", "0%", "0%", "40"] in lines
        assert ["small", "4", "0.0%", "0%", "0%", "100%", "–"] in lines

    def test_it_lists_every_file_for_the_judge(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run = Run(tmp_path, [question(0)])
        written = run.finish()
        assert main(["summary", str(run.dir)]) == 0
        out = capsys.readouterr().out
        for path in written:
            assert f"{path.name}  ({path.stat().st_size:,} bytes)" in out
        assert "Warning" not in out

    def test_prompts_that_give_the_answer_away_are_warned_of(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        leak = "Human response for reference: 7/10. Is it?"
        run = Run(tmp_path, [question(0, human_response=7, prompt=leak), question(1)])
        run.finish()
        print_summary(run.paths.metadata("test"))
        out = capsys.readouterr().out
        assert "Warning: LABEL LEAK" in out
        assert "1 of 2 prompts give away the human answer" in out

    def test_a_mixture_of_engines_within_a_model_is_warned_of(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run = Run(tmp_path, [question(i) for i in range(4)], ("tiny", "small"))
        run.finish()
        path = run.paths.metadata("test")
        found = json.loads(path.read_text())
        found["models"]["tiny"]["env_ids"] = ["[engine] 2", "engine 1"]
        path.write_text(json.dumps(found))
        print_summary(run.paths.metadata("test"))
        out = capsys.readouterr().out
        assert "tiny was answered by different software or GPUs: [engine] 2; engine 1" in out
        assert "small was answered by different" not in out

    def test_it_is_of_the_metadata_alone(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run = Run(tmp_path, [question(i) for i in range(3)], ("zeta", "alpha"))
        run.finish({"zeta": lambda _: "Rating: 1", "alpha": lambda _: "Rating: 10"})
        (run.paths.judge_ready / "responses.parquet").unlink()
        print_summary(run.paths.metadata("test"))
        lines = [line.split() for line in capsys.readouterr().out.splitlines()]
        first = lines.index(["zeta", "3", "100.0%", "0%", "100%", "0%", "30"])
        assert lines[first + 1] == ["alpha", "3", "100.0%", "100%", "0%", "0%", "30"]

    def test_a_run_that_is_not_finished_is_said_in_a_sentence(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["summary", str(tmp_path)]) == 1
        assert "holds no finished run; start one with `snakemake`" in capsys.readouterr().err
