"""Templates: strict about what the sample lacks, and blind to what the person answered."""

from pathlib import Path

import pytest
from samples_support import TEMPLATES, jsonl, prepare_file, written

from evalpack.errors import UserError
from evalpack.samples import load_template, resolve_template
from evalpack.samples.templates import compile_template


def _error(source: str, **columns: object) -> str:
    with pytest.raises(UserError) as caught:
        compile_template("own.j2", source).render(columns)
    return str(caught.value)


def test_a_template_renders_rows_that_have_no_prompt(tmp_path: Path) -> None:
    template = written(tmp_path / "own.j2", "{{ place }}: {{ topic }} in {{ country_name }}?\n")
    row = {"id": 1, "question": "Q183", "country": "076", "place": "Bar <b>"}
    prepared = prepare_file(jsonl(tmp_path / "s.jsonl", row), template=str(template))
    assert prepared.rows[0]["prompt"] == "Bar <b>: divorce in Brazil?"
    assert prepared.rows[0]["country"] == "076"
    assert prepared.report.dataset_info["template"]["name"] == str(template)


def test_a_prompt_of_the_file_goes_before_the_template_and_a_warning_says_so(
    tmp_path: Path,
) -> None:
    rows = {"id": 1, "prompt": "mine"}, {"id": 2, "question": "Q183"}
    mixed = prepare_file(jsonl(tmp_path / "s.jsonl", *rows), template="moral_rating.j2")
    assert mixed.rows[0]["prompt"] == "mine"
    assert "divorce" in mixed.rows[1]["prompt"]
    assert "1 of 2 samples bring their own prompt" in mixed.report.warnings[0]
    own = prepare_file(jsonl(tmp_path / "s.jsonl", rows[0]), template="moral_rating.j2")
    assert "not used" in own.report.warnings[0]
    assert own.report.dataset_info["template"] is None


def test_a_column_of_the_sample_goes_before_what_evalpack_knows(tmp_path: Path) -> None:
    row = {"id": 1, "question": "Q183", "country": "FRA", "topic": "queue-jumping"}
    path = jsonl(tmp_path / "s.jsonl", row)
    assert "queue-jumping" in prepare_file(path, template="moral_rating.j2").rows[0]["prompt"]


def test_an_undefined_variable_is_named_with_template_and_row(tmp_path: Path) -> None:
    template = written(tmp_path / "own.j2", "{{ colour }}?")
    path = jsonl(tmp_path / "s.jsonl", {"id": 1, "taste": "x"})
    with pytest.raises(
        UserError, match=r"line 1: template .*own\.j2: 'colour' is undefined.*taste"
    ):
        prepare_file(path, template=str(template))


def test_a_question_without_a_topic_is_an_error_not_an_empty_prompt() -> None:
    assert "question 'Q1' has no built-in topic" in _error("{{ topic }}", question="Q1")
    assert "the sample has no question" in _error("{{ topic }}", question=None)


def test_an_empty_column_is_never_printed_as_none() -> None:
    assert "prints a column that is empty" in _error("{{ taste }}", taste=None)
    assert (
        compile_template("t", "{% if taste %}{{ taste }}{% endif %}.").render({"taste": None})
        == "."
    )


def test_a_template_that_fails_says_why() -> None:
    assert "ZeroDivisionError" in _error("{{ 1 / n }}", n=0)
    assert "own.j2, line 2" in _error("a\n{% if %}")
    assert "own.j2" in _error("{% include 'other.j2' %}")


def test_a_template_cannot_reach_the_machine() -> None:
    assert "SecurityError" in _error("{{ ''.__class__.__mro__[1].__subclasses__() }}")


def test_a_template_that_renders_to_nothing_is_an_error(tmp_path: Path) -> None:
    template = written(tmp_path / "own.j2", "{% if country %}x{% endif %}")
    with pytest.raises(UserError, match=r"line 1: the prompt from template .*own\.j2 is empty"):
        prepare_file(jsonl(tmp_path / "s.jsonl", {"id": 1}), template=str(template))


def test_a_template_is_found_by_name_or_by_path(tmp_path: Path) -> None:
    path = written(tmp_path / "own.j2", "x")
    assert resolve_template("moral_rating.j2", TEMPLATES) == TEMPLATES / "moral_rating.j2"
    assert resolve_template(str(path), TEMPLATES) == path
    with pytest.raises(UserError, match=r"no template 'gone\.j2'.*moral_rating\.j2"):
        resolve_template("gone.j2", TEMPLATES)


def test_a_template_must_be_utf_8(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not UTF-8"):
        load_template(str(written(tmp_path / "own.j2", b"caf\xe9")))


@pytest.mark.parametrize("country", [None, "BRA"])
@pytest.mark.parametrize("answer", range(1, 11))
def test_the_default_template_does_not_depend_on_the_answer(
    answer: int, country: str | None
) -> None:
    template = load_template("moral_rating.j2", TEMPLATES)
    assert "human_response" not in template.variables
    columns = {"question": "Q176", "country": country, "human_response": answer}
    assert str(answer) + "/" not in template.render(columns)
