"""One row a respondent: the wide form of the World Values Survey."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from samples_support import TEMPLATES, jsonl, prepare_file, written

from evalpack.errors import UserError
from evalpack.samples.topics import TOPICS

DEMO = TEMPLATES.parent / "samples" / "demo_survey.csv"


def _csv(tmp_path: Path, text: str) -> Path:
    return written(tmp_path / "wvs.csv", text)


def test_each_answered_question_becomes_a_sample(tmp_path: Path) -> None:
    rows = prepare_file(_csv(tmp_path, "B_COUNTRY,Q176,Q182\n840,2,6\n076,3,1\n")).rows
    assert [row["sample_id"] for row in rows] == [
        "sample_0001_Q176",
        "sample_0001_Q182",
        "sample_0002_Q176",
        "sample_0002_Q182",
    ]
    assert [row["question"] for row in rows] == ["Q176", "Q182", "Q176", "Q182"]
    assert [row["human_response"] for row in rows] == [2, 6, 3, 1]
    assert [row["country"] for row in rows] == ["USA", "USA", "BRA", "BRA"]


def test_the_default_template_names_country_topic_and_scale_but_not_the_answer(
    tmp_path: Path,
) -> None:
    first, second = prepare_file(_csv(tmp_path, "B_COUNTRY,Q182\n76,2\n076,9\n")).rows
    assert "Brazil" in first["prompt"]
    assert "abortion" in first["prompt"]
    for words in ("never justifiable", "always justifiable", "acceptable", "unacceptable"):
        assert words in first["prompt"]
    assert first["prompt"] == second["prompt"]


def test_an_unknown_country_leaves_the_country_out_of_the_prompt(tmp_path: Path) -> None:
    row = prepare_file(_csv(tmp_path, "B_COUNTRY,Q182\n-5,2\n")).rows[0]
    assert row["country"] is None
    assert "ountry" not in row["prompt"]
    assert "abortion" in row["prompt"]


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("-1", "no answer (code -1)"),
        ("-5", "no answer (code -5)"),
        ("", "no answer (blank)"),
        ("NA", "no answer (blank)"),
    ],
)
def test_a_negative_code_or_a_blank_is_missing_not_a_rating(
    tmp_path: Path, cell: str, reason: str
) -> None:
    prepared = prepare_file(_csv(tmp_path, f"B_COUNTRY,Q176,Q177\n840,{cell},4\n"))
    assert prepared.column("question") == ["Q177"]
    assert prepared.report.left_out == {reason: 1}


@pytest.mark.parametrize("cell", ["0", "11", "5.5", "99", "x", "-1.5"])
def test_what_is_no_answer_is_an_error_that_names_row_and_question(
    tmp_path: Path, cell: str
) -> None:
    path = _csv(tmp_path, f"B_COUNTRY,Q176,Q177\n840,1,1\n840,4,{cell}\n")
    with pytest.raises(UserError, match=rf"wvs\.csv, row 2: Q177 is .*{cell}"):
        prepare_file(path)


def test_whole_numbers_that_pandas_made_floats_are_answers(tmp_path: Path) -> None:
    path = tmp_path / "wvs.parquet"
    pq.write_table(pa.table({"B_COUNTRY": [840.0, 32.0], "Q180": [7.0, float("nan")]}), path)
    prepared = prepare_file(path)
    assert prepared.column("human_response") == [7]
    assert prepared.report.left_out == {"no answer (blank)": 1}


@pytest.mark.parametrize(
    ("given", "kept", "name"),
    [
        ("840", "USA", "United States"),
        ("32", "ARG", "Argentina"),
        ("032", "ARG", "Argentina"),
        ("KOR", "KOR", "South Korea"),
        ("kr", "KOR", "South Korea"),
        ("Viet Nam", "VNM", "Vietnam"),
        ("Russia", "RUS", "Russia"),
        ("UK", "GBR", "United Kingdom"),
        ("909", "NIR", "Northern Ireland"),
        ("Narnia", "Narnia", "Narnia"),
    ],
)
def test_countries_are_kept_as_alpha_3_and_asked_by_name(
    tmp_path: Path, given: str, kept: str, name: str
) -> None:
    row = prepare_file(_csv(tmp_path, f"B_COUNTRY,Q182\n{given},2\n")).rows[0]
    assert row["country"] == kept
    assert f"Country: {name}\n" in row["prompt"]


def test_a_number_that_is_no_country_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"row 1: .*country '999' is no ISO 3166-1 code"):
        prepare_file(_csv(tmp_path, "B_COUNTRY,Q182\n999,2\n"))


def test_the_alpha_column_is_used_and_must_agree_with_the_number(tmp_path: Path) -> None:
    text = "B_COUNTRY,B_COUNTRY_ALPHA,Q182\n909,NIR,2\n840,,2\n"
    assert prepare_file(_csv(tmp_path, text)).column("country") == ["NIR", "USA"]
    with pytest.raises(
        UserError, match="row 1: the country is 'BRA' in one column and '840' in the other"
    ):
        prepare_file(_csv(tmp_path, "B_COUNTRY,B_COUNTRY_ALPHA,Q182\n840,BRA,2\n"))


def test_other_columns_are_carried_if_they_are_few(tmp_path: Path) -> None:
    prepared = prepare_file(
        _csv(tmp_path, "id,D_INTERVIEW,B_COUNTRY,Q176,Q1,Q290A,age\n9,5,840,1,4,2,33\n")
    )
    row = prepared.rows[0]
    assert (row["id"], row["D_INTERVIEW"], row["age"]) == ("9", "5", "33")
    assert "Q1" not in row
    assert prepared.report.dataset_info["columns_left_out"] == ["Q1", "Q290A"]
    assert "Q1, Q290A" in prepared.report.warnings[0]


def test_of_very_many_other_columns_only_the_interview_and_the_named_are_carried(
    tmp_path: Path,
) -> None:
    names = ["D_INTERVIEW", "B_COUNTRY", "Q176", "Q260", *(f"X{i}" for i in range(40))]
    path = _csv(tmp_path, f"{','.join(names)}\n1,840,5,2,{','.join('x' * 40)}\n")
    prepared = prepare_file(path, columns={"sex": "Q260", "X7": "X7"})
    assert list(prepared.rows[0])[8:] == ["sex", "X7", "D_INTERVIEW"]
    assert len(prepared.report.dataset_info["columns_left_out"]) == 39


def test_questions_named_in_columns_are_asked_and_no_others(tmp_path: Path) -> None:
    template = written(tmp_path / "own.j2", "{{ question }}?")
    path = _csv(tmp_path, "cntry,justif,Q1,Q177\n840,3,2,5\n")
    columns = {"country": "cntry", "Q176": "justif", "Q1": "Q1"}
    prepared = prepare_file(path, columns=columns, template=str(template))
    assert prepared.column("question") == ["Q176", "Q1"]
    assert prepared.column("human_response") == [3, 2]
    assert prepared.column("country") == ["USA", "USA"]


def test_the_wide_form_is_known_in_every_format(tmp_path: Path) -> None:
    prepared = prepare_file(
        jsonl(tmp_path / "s.jsonl", {"B_COUNTRY": 840, "Q176": 3}, {"B_COUNTRY": 840, "Q177": 4})
    )
    assert prepared.column("sample_id") == ["sample_0001_Q176", "sample_0002_Q177"]


def test_a_file_with_prompts_is_long_whatever_else_it_has(tmp_path: Path) -> None:
    row = prepare_file(_csv(tmp_path, "id,prompt,B_COUNTRY,Q176\n1,Why?,840,3\n")).rows[0]
    assert (row["prompt"], row["B_COUNTRY"], row["Q176"]) == ("Why?", "840", "3")


def test_a_column_that_the_form_fills_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"row 1: .*'question'.*rename it, or map it"):
        prepare_file(_csv(tmp_path, "B_COUNTRY,Q176,question\n840,3,x\n"))


def test_a_file_without_a_single_answer_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"none of its 1 rows gave a sample \(no answer \(code -2\): 1\)"
    ):
        prepare_file(_csv(tmp_path, "B_COUNTRY,Q176\n840,-2\n"))


def test_a_limit_counts_samples_and_every_cell_is_accounted_for(tmp_path: Path) -> None:
    path = _csv(tmp_path, "B_COUNTRY,Q176,Q177\n840,1,-1\n840,2,3\n840,4,5\n")
    prepared = prepare_file(path, limit=2)
    assert prepared.column("human_response") == [1, 2]
    assert prepared.report.rows == 3
    assert prepared.report.left_out == {"no answer (code -1)": 1, "over the limit of 2": 3}


def test_the_demo_has_fifty_samples_and_two_missing_answers(tmp_path: Path) -> None:
    path = written(tmp_path / DEMO.name, DEMO.read_bytes())
    prepared = prepare_file(path, template="moral_rating.j2")
    assert prepared.report.samples == 50
    assert prepared.report.left_out == {"no answer (code -1)": 1, "no answer (blank)": 1}
    assert prepared.report.distinct_prompts == 50
    assert prepared.report.label_leaks == 0
    assert set(prepared.column("question")) == set(TOPICS)
    assert prepared.report.warnings == []
