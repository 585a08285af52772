"""Answers as models write them, and what must be read out of each (golden/*.yaml)."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from evalpack.extract import Extraction, Split, extract, split_reasoning
from evalpack.samples.templates import load_template
from evalpack.samples.topics import TOPICS

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


@pytest.fixture(scope="module", params=TOPICS)
def prompt(request: pytest.FixtureRequest) -> str:
    """The shipped template, filled in for one topic of the survey."""
    template = load_template("moral_rating.j2", GOLDEN.parents[2] / "config" / "templates")
    return template.render({"question": request.param, "country": None})


def test_the_prompt_said_again_is_no_answer(prompt: str) -> None:
    unknown = Extraction("unknown", None, disagreement=False)
    lines = prompt.splitlines()
    cut_short = ["\n".join(lines[:count]) for count in range(len(lines))]
    for text in (prompt, f"{prompt}\n\n{prompt}", *cut_short):
        assert extract(text) == unknown, text


def test_an_answer_after_the_prompt_said_again_counts(prompt: str) -> None:
    answer = "Rating: 7\nJudgement: acceptable\nReason: it is a private matter."
    assert extract(f"{prompt}\n\n{answer}") == Extraction("acceptable", 7, disagreement=False)
