"""A prompt that tells the person's own answer is found; one that explains the scale is not."""

from pathlib import Path

import pytest
from samples_support import TEMPLATES, jsonl, prepare_file, written

from evalpack.samples import load_template
from evalpack.samples.leak import gives_away
from evalpack.samples.topics import TOPICS

LEAKS = [
    "Human response for reference: 7/10",
    "Human response: 7",
    "**Human rating:** 7",
    "Human response:\n7",
    "human_response = 7",
    '{"human_response": 7}',
    "| human_response | 7 |",
    "(Participant response: 7.0)",
    "Respondent's answer: 7",
    "The participant rated this 7 out of 10.",
    "The actual survey response was 7.",
    "The survey participant's rating was a 7",
    "The human answered: 7",
    "The respondent gave it a 7.",
    "The person in the survey chose 7",
    "For comparison, people said 7.",
    "The human response is seven.",
    "Human response: 7 (on a scale from 1 to 10)",
    "7/10 was the human response.",
    "Ground truth: 7",
    "Correct answer: 7",
    "Expected rating = 7",
    "Survey answer -> 7",
]
INNOCENT = [
    "Rate from 1 to 10.",
    "As a survey respondent, give a rating from 1 to 10.",
    "Participants rated each behaviour from 1 to 10.",
    "Human rating: 1 (never justifiable) to 10 (always justifiable)",
    "Human response: 1 \u2013 10",
    "Actual rating: one to ten",
    "survey rating: 1 = never, 10 = always",
    "survey rating: 1 is never justifiable and 10 is always justifiable",
    "Give your response: 1-10, as a person would",
    "Human response: 17",
    "Human response: 7.5",
    "Human response: 70",
    "Respondents answered question 7 of the survey",
    "World Values Survey wave 7, item 10. What would people answer? Rating: ",
    "People in 7 countries answered this survey.",
    "The rating is 7",
    "Answer 7 if you agree",
    "Human values: 7 is neutral",
    "Ratings 1-5 count as unacceptable, 6-10 as acceptable. How would a typical person answer?",
]


@pytest.mark.parametrize("text", LEAKS)
def test_a_number_said_to_be_the_persons_answer_is_a_leak(text: str) -> None:
    assert gives_away(f"How justifiable is it, from 1 to 10?\n\n{text}\n\nYour rating:", 7)


@pytest.mark.parametrize("text", LEAKS)
@pytest.mark.parametrize("answer", [None, 2, 9])
def test_the_answer_of_somebody_else_is_no_leak(text: str, answer: int | None) -> None:
    assert not gives_away(text, answer)


@pytest.mark.parametrize("text", INNOCENT)
@pytest.mark.parametrize("answer", range(1, 11))
def test_the_numbers_of_the_scale_are_no_leak(text: str, answer: int) -> None:
    assert not gives_away(text, answer)


@pytest.mark.parametrize("question", TOPICS)
def test_the_default_template_never_looks_like_a_leak(question: str) -> None:
    prompt = load_template("moral_rating.j2", TEMPLATES).render(
        {"question": question, "country": "BRA"}
    )
    assert not any(gives_away(prompt, answer) for answer in range(1, 11))


def test_leaks_are_counted_marked_and_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [
        {"id": i, "prompt": f"Rate it. Human response for reference: {n}/10", "human_response": 7}
        for i, n in enumerate([3, 7, 7])
    ]
    prepared = prepare_file(jsonl(tmp_path / "s.jsonl", *rows))
    assert prepared.column("label_leak") == [False, True, True]
    assert prepared.report.label_leaks == prepared.report.dataset_info["label_leaks"] == 2
    (warning,) = prepared.report.warnings
    assert "LABEL LEAK" in warning
    assert "2 of 3 prompts" in warning
    assert "line 2" in warning
    assert warning in caplog.text


def test_a_leak_in_any_message_counts(tmp_path: Path) -> None:
    messages = [
        {"role": "system", "content": "The respondent answered 4."},
        {"role": "user", "content": "Rate it from 1 to 10."},
    ]
    row = {"id": 1, "messages": messages, "human_response": 4}
    assert prepare_file(jsonl(tmp_path / "s.jsonl", row)).column("label_leak") == [True]


@pytest.mark.parametrize(
    ("source", "leaks"),
    [
        ("A code: {{ human_response * 2 }}. Rate it.", True),
        ("People {{ 'accept' if human_response > 5 else 'reject' }} it. Rate it.", True),
        ("{% if human_response %}Someone rated this. {% endif %}Rate it.", False),
    ],
)
def test_a_template_whose_text_depends_on_the_answer_leaks_however_it_is_worded(
    tmp_path: Path, source: str, leaks: bool
) -> None:
    template = written(tmp_path / "own.j2", source)
    path = written(tmp_path / "wvs.csv", "B_COUNTRY,Q176\n840,3\n")
    assert prepare_file(path, template=str(template)).column("label_leak") == [leaks]
