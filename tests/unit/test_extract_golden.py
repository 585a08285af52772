"""Answers as models write them, and what must be read out of each (golden/*.yaml)."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from evalpack.extract import Extraction, Split, extract, split_reasoning

GOLDEN = Path(__file__).parent / "golden"


def cases(name: str) -> list[Any]:
    groups: dict[str, list[dict[str, Any]]] = yaml.safe_load(
        (GOLDEN / name).read_text(encoding="utf-8")
    )
    return [
        pytest.param(case, id=f"{group}: {case['text'][:40]!r}")
        for group, entries in groups.items()
        for case in entries
    ]


@pytest.mark.parametrize("case", cases("moral_rating.yaml"))
def test_an_answer_is_read_as_a_person_would_or_left_unknown(case: dict[str, Any]) -> None:
    expected = Extraction(case["choice"], case["moral_score"], case.get("disagreement", False))
    assert extract(case["text"]) == expected


@pytest.mark.parametrize("case", cases("reasoning.yaml"))
def test_reasoning_is_set_apart_from_the_answer(case: dict[str, Any]) -> None:
    expected = Split(case["reasoning"], case["answer"], case.get("truncated", False))
    options = {
        "finish_reason": case.get("finish_reason", "stop"),
        "opened": case.get("opened", False),
    }
    assert split_reasoning(case["text"], **options) == expected


def test_no_answer_stands_twice_in_the_golden_file() -> None:
    texts = [case.values[0]["text"] for case in cases("moral_rating.yaml")]
    assert len(texts) == len(set(texts))
