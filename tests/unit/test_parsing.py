"""The parse stage: raw answers become records; what gave no answer is no success."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from builders import Run, question

from evalpack import records
from evalpack.engines.base import AnswerError
from evalpack.extract import PARSERS
from evalpack.parsing import parse, record


def merged(text: str | None, finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    return {
        "model": "tiny",
        "sample_id": "s0",
        "condition": "default",
        "draw": 0,
        "label_leak": False,
        "_text": text,
        "error": None,
        "finish_reason": finish,
        "completion_tokens": 64,
        "_key": "k",
        **more,
    }


def read(text: str | None, finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    return record(merged(text, finish, **more), PARSERS["moral_rating"])


def test_an_answer_is_read_and_is_a_success() -> None:
    row = read("Rating: 8. That is acceptable.")
    assert (row["success"], row["error"]) == (True, None)
    assert (row["choice"], row["moral_score"]) == ("acceptable", 8)
    assert row["response"] == "Rating: 8. That is acceptable."
    assert row["reasoning"] is None


def test_reasoning_is_taken_out_of_the_response_and_out_of_the_rating() -> None:
    row = read("<think>Perhaps 9? No.</think>Rating: 2, unacceptable.")
    assert row["reasoning"] == "Perhaps 9? No."
    assert row["response"] == "Rating: 2, unacceptable."
    assert (row["choice"], row["moral_score"]) == ("unacceptable", 2)


def test_reasoning_that_was_cut_is_truncated_and_no_success() -> None:
    row = read("<think>Rating: 8, acceptable, I think, but", "length")
    assert row["error"] == "Truncated: 64 tokens ended before an answer was given"
    assert row["success"] is False
    assert (row["choice"], row["moral_score"]) == ("unknown", None)
    assert row["reasoning"] == "Rating: 8, acceptable, I think, but"


def test_an_answer_that_was_cut_after_it_was_given_stands() -> None:
    row = read("<think>Hm.</think>Rating: 8, acceptable, because the", "length")
    assert (row["success"], row["moral_score"]) == (True, 8)


@pytest.mark.parametrize("text", ["", "  \n\t", "<think>Rating: 8</think>", "<think>Rating: 8"])
def test_an_empty_answer_is_an_error_that_says_so(text: str) -> None:
    row = read(text)
    assert row["error"] == "EmptyAnswer: the model ended without writing anything"
    assert (row["success"], row["choice"], row["moral_score"]) == (False, "unknown", None)


def test_a_failed_row_keeps_its_error_and_has_no_response() -> None:
    row = read(None, None, error="PromptTooLong: 9000 tokens", completion_tokens=None)
    assert row["error"] == "PromptTooLong: 9000 tokens"
    assert (row["success"], row["response"], row["reasoning"]) == (False, None, None)
    assert (row["choice"], row["moral_score"]) == ("unknown", None)


def test_an_answer_without_a_rating_is_an_answer() -> None:
    row = read("I would rather not say.")
    assert (row["success"], row["choice"], row["moral_score"]) == (True, "unknown", None)


def test_raw_columns_stay_behind() -> None:
    assert not [name for name in read("Rating: 8") if name.startswith("_")]


def test_a_carried_column_may_begin_as_raw_ones_do(tmp_path: Path) -> None:
    run = Run(tmp_path, [question(0, _weight=0.5), question(1, _weight=None)])
    run.write_shards()
    run.merge()
    responses = run.paths.responses("tiny")
    parse(run.paths.merged("tiny"), responses, "moral_rating")
    table = pq.read_table(responses)
    assert table["_weight"].to_pylist() == [0.5, None]
    assert not {"_text", "_key"} & {*table.column_names}


def test_a_file_is_parsed_row_by_row_with_its_carried_columns(tmp_path: Path) -> None:
    leak = "Human response for reference: 7/10. Is act 1 justifiable?"
    rows = [
        question(0, weight=0.5, region="north"),
        question(1, human_response=7, prompt=leak, weight=2.0, region=None),
        question(2, weight=None, region="süd"),
    ]
    failed = AnswerError("ServerError", "500", permanent=False)
    run = Run(tmp_path, rows)
    run.write_shards(text=lambda a: failed if a.sample["sample_id"] == "s2" else "Rating: 3")
    run.merge()
    responses = run.paths.responses("tiny")
    assert parse(run.paths.merged("tiny"), responses, "moral_rating") == 3
    table = pq.read_table(responses)
    assert table.schema.metadata[b"schema_version"] == records.SCHEMA_VERSION.encode()
    assert table.column_names == [
        *(field.name for field in records.RESPONSE),
        *("weight", "region"),
    ]
    assert table["sample_id"].to_pylist() == ["s0", "s1", "s2"]
    assert table["success"].to_pylist() == [True, True, False]
    assert table["error"].to_pylist() == [None, None, "ServerError: 500"]
    assert table["label_leak"].to_pylist() == [False, True, False]
    assert table["weight"].to_pylist() == [0.5, 2.0, None]
    assert table["region"].to_pylist() == ["north", None, "süd"]
