"""Every input form gives the same samples."""

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples_support import jsonl, prepare_file, written

from evalpack.samples import prompt_digest
from evalpack.samples.readers import json_array

ROWS = [
    {"id": "a", "prompt": "First, of two?", "question": "Q1", "country": "076", "note": "x"},
    {
        "id": "b",
        "prompt": 'It "quotes"\nand breaks; a\ttab',
        "question": "Q2",
        "country": "USA",
        "note": "y",
    },
]


def _write(path: Path) -> Path:
    match path.suffix:
        case ".json":
            path.write_text(json.dumps(ROWS, indent=2))
        case ".jsonl" | ".ndjson":
            jsonl(path, *ROWS)
        case ".csv" | ".tsv":
            with path.open("w", newline="") as file:
                writer = csv.DictWriter(
                    file, ROWS[0], delimiter="\t" if path.suffix == ".tsv" else ","
                )
                writer.writeheader()
                writer.writerows(ROWS)
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(ROWS), path)
    return path


@pytest.mark.parametrize(
    "suffix", [".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".JSONL"]
)
def test_every_format_gives_the_same_samples_in_the_same_order(tmp_path: Path, suffix: str) -> None:
    path = _write(tmp_path / f"samples{suffix.lower()}").rename(tmp_path / f"renamed{suffix}")
    rows = prepare_file(path).rows
    assert [row["sample_id"] for row in rows] == ["a", "b"]
    assert [row["prompt"] for row in rows] == [row["prompt"] for row in ROWS]
    assert [row["country"] for row in rows] == ["076", "USA"]
    assert [row["note"] for row in rows] == ["x", "y"]
    assert [row["human_response"] for row in rows] == [None, None]
    assert [row["messages"] for row in rows] == [None, None]
    assert [row["prompt_digest"] for row in rows] == [prompt_digest(row["prompt"]) for row in ROWS]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_of_a_csv_is_found_even_if_others_stand_in_quotes(
    tmp_path: Path, delimiter: str
) -> None:
    header, row = ["id", "prompt", '"a,b;c"'], ["1", '"one, two; three\tfour"', "x"]
    text = "\n".join(delimiter.join(fields) for fields in (header, row))
    rows = prepare_file(written(tmp_path / "s.csv", text)).rows
    assert rows[0]["prompt"] == "one, two; three\tfour"
    assert rows[0]["a,b;c"] == "x"


@pytest.mark.parametrize("name", ["s.json", "s.jsonl", "s.csv"])
def test_a_byte_order_mark_is_skipped(tmp_path: Path, name: str) -> None:
    content = {
        "s.json": '[{"id": 1, "prompt": "hi"}]',
        "s.jsonl": '{"id": 1, "prompt": "hi"}',
        "s.csv": "id,prompt\n1,hi",
    }[name]
    assert (
        prepare_file(written(tmp_path / name, b"\xef\xbb\xbf" + content.encode())).rows[0]["prompt"]
        == "hi"
    )


def test_blank_lines_and_windows_line_ends_are_no_rows(tmp_path: Path) -> None:
    text = '{"id": 1, "prompt": "a"}\r\n\r\n  \n{"id": 2, "prompt": "b"}'
    prepared = prepare_file(written(tmp_path / "s.jsonl", text))
    assert prepared.column("sample_id") == ["1", "2"]
    assert prepared.report.rows == 2
    csv_text = "id,prompt\r\n1,a\r\n\r\n2,b\r\n\r\n"
    assert prepare_file(written(tmp_path / "s.csv", csv_text)).column("prompt") == ["a", "b"]


def test_chat_messages_take_the_place_of_the_prompt(tmp_path: Path) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    row = prepare_file(jsonl(tmp_path / "s.jsonl", {"id": 1, "messages": messages})).rows[0]
    assert row["messages"] == messages
    assert row["prompt"] is None
    assert row["prompt_digest"] == prompt_digest(messages)


def test_messages_may_be_json_text_in_a_csv_field(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [
                ["id", "messages", "prompt"],
                ["1", '[{"role": "user", "content": "Why?"}]', ""],
                ["2", "", "How?"],
            ]
        )
    first, second = prepare_file(path).rows
    assert first["messages"] == [{"role": "user", "content": "Why?"}]
    assert second["prompt"] == "How?"


def test_messages_in_parquet_may_have_null_members(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "Why?", "name": None}]
    path = tmp_path / "s.parquet"
    type_ = pa.list_(pa.struct({"role": pa.string(), "content": pa.string(), "name": pa.string()}))
    pq.write_table(pa.table({"id": ["a"], "messages": pa.array([messages], type_)}), path)
    assert prepare_file(path).rows[0]["messages"] == [{"role": "user", "content": "Why?"}]


@pytest.mark.parametrize("chunk", [1, 2, 7, 64])
def test_a_json_array_reads_the_same_wherever_its_chunks_are_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    rows = [
        {"id": i, "prompt": f'é"\\ \U0001f600 {i}', "x": [-1.5e3, True, None, {"k": "v"}]}
        for i in range(20)
    ]
    path = written(tmp_path / "s.json", json.dumps(rows, indent=1))
    monkeypatch.setattr(json_array, "CHUNK", chunk)
    assert prepare_file(path).column("prompt") == [row["prompt"] for row in rows]


def test_a_prompt_of_a_megabyte_is_kept_whole(tmp_path: Path) -> None:
    prompt = "word " * 210_000
    for path in (
        jsonl(tmp_path / "s.jsonl", {"id": 1, "prompt": prompt}),
        written(tmp_path / "s.json", json.dumps([{"id": 1, "prompt": prompt}])),
        written(tmp_path / "s.csv", f"id,prompt\n1,{prompt}"),
    ):
        prepared = prepare_file(path)
        assert prepared.rows[0]["prompt"] == prompt
        assert prepared.report.longest_prompt == len(prompt)


def test_control_characters_other_than_nul_stay_in_the_prompt(tmp_path: Path) -> None:
    prompt = "bell\x07 escape\x1b[0m separator\u2028 nel\x85 tab\t end"
    assert (
        prepare_file(jsonl(tmp_path / "s.jsonl", {"id": 1, "prompt": prompt})).rows[0]["prompt"]
        == prompt
    )


def test_columns_named_otherwise_are_mapped(tmp_path: Path) -> None:
    row = {"qid": 5, "text": "Why?", "model": "someone's", "item": "Q1"}
    columns = {"sample_id": "qid", "prompt": "text", "source_model": "model", "question": "item"}
    prepared = prepare_file(jsonl(tmp_path / "s.jsonl", row), columns=columns)
    assert prepared.rows[0]["sample_id"] == "5"
    assert prepared.rows[0]["prompt"] == "Why?"
    assert prepared.rows[0]["source_model"] == "someone's"
    assert prepared.rows[0]["question"] == "Q1"
    assert not {"qid", "text", "model", "item"} & prepared.rows[0].keys()


def test_a_mapped_column_may_first_appear_beyond_the_limit(tmp_path: Path) -> None:
    rows = {"id": 1, "prompt": "p"}, {"id": 2, "prompt": "p", "nation": "FRA"}
    path = jsonl(tmp_path / "s.jsonl", *rows)
    assert prepare_file(path, columns={"country": "nation"}).column("country") == [None, "FRA"]
    assert prepare_file(path, columns={"country": "nation"}, limit=1).column("country") == [None]


def test_an_id_beside_a_sample_id_is_carried(tmp_path: Path) -> None:
    row = prepare_file(
        jsonl(tmp_path / "s.jsonl", {"sample_id": "a", "id": 7, "prompt": "Why?"})
    ).rows[0]
    assert (row["sample_id"], row["id"]) == ("a", 7)


@pytest.mark.parametrize(
    ("given", "kept"), [(1, "1"), (1.0, "1"), ("1.0", "1.0"), ("  a", "  a"), ("é", "é")]
)
def test_ids_become_text_and_whole_floats_lose_their_point(
    tmp_path: Path, given: object, kept: str
) -> None:
    assert prepare_file(jsonl(tmp_path / "s.jsonl", {"id": given, "prompt": "p"})).column(
        "sample_id"
    ) == [kept]


@pytest.mark.parametrize("given", [7, 7.0, "7", " 7 ", "7.0"])
def test_a_rating_may_be_written_in_several_ways(tmp_path: Path, given: object) -> None:
    row = {"id": 1, "prompt": "p", "human_response": given}
    assert prepare_file(jsonl(tmp_path / "s.jsonl", row)).column("human_response") == [7]


@pytest.mark.parametrize("given", [None, "", "NA", "nan", float("nan")])
def test_a_blank_rating_is_null(tmp_path: Path, given: object) -> None:
    row = {"id": 1, "prompt": "p", "human_response": given}
    assert prepare_file(jsonl(tmp_path / "s.jsonl", row)).column("human_response") == [None]


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)
@given(
    prompts=st.lists(text.filter(lambda s: not s.isspace()), min_size=1, max_size=5),
    escaped=st.booleans(),
)
def test_any_unicode_prompt_survives_the_way_through_jsonl(
    tmp_path: Path, prompts: list[str], escaped: bool
) -> None:
    lines = [
        json.dumps({"id": i, "prompt": p}, ensure_ascii=escaped) for i, p in enumerate(prompts)
    ]
    prepared = prepare_file(written(tmp_path / "s.jsonl", "\n".join(lines)))
    assert prepared.column("prompt") == prompts
    assert prepared.column("prompt_digest") == [prompt_digest(p) for p in prompts]
