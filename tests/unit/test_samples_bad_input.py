"""What is wrong with a samples file is said in one sentence that names the place."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from samples_support import jsonl, prepare_file, written

from evalpack.errors import UserError
from evalpack.samples.readers import json_array

P = '"prompt": "p"'


def _refused(path: Path, *words: str, **options: object) -> None:
    """`prepare` raises one line that holds all `words`, and leaves no file behind."""
    with pytest.raises(UserError) as caught:
        prepare_file(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    for word in (path.name, *words):
        assert word in message
    assert not [file for file in path.parent.rglob("*") if file.is_file() and "out" in file.parts]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("s.txt", "x", ["'.txt'", ".jsonl", ".parquet"]),
        ("s", "x", ["(none)"]),
        ("s.jsonl", "", ["empty (0 bytes)"]),
        ("s.jsonl", " \n\n", ["no rows"]),
        ("s.json", "[]", ["no rows"]),
        ("s.json", " ", ["no rows"]),
        ("s.csv", "id,prompt\n", ["no rows"]),
        ("s.csv", "\n\n", ["no rows"]),
        ("s.parquet", "PAR1", ["not a Parquet file"]),
    ],
)
def test_a_file_without_samples(tmp_path: Path, name: str, content: str, words: list[str]) -> None:
    _refused(written(tmp_path / name, content), *words)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    _refused(tmp_path / "gone.jsonl", "does not exist", "samples.path")
    (tmp_path / "folder.json").mkdir()
    _refused(tmp_path / "folder.json", "is a folder")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("s.json", '[{"id": 1,\n  "prompt": p}]', ["line 2, column 13", "Expecting value"]),
        ("s.json", '[{"id": 1, ' + P + '}\n {"id": 2}]', ["line 2, column 2", "expected ','"]),
        ("s.json", '[{"id": 1, ' + P + "},]", ["line 1, column 27"]),
        ("s.json", '[{"id": 1, ' + P + "}", ["line 1, column 26", "expected ','"]),
        ("s.json", '[{"id": 1, ' + P + "}] x", ["column 28", "follows the closing ]"]),
        ("s.json", '[{"id": 1, "prompt": "p', ["not valid JSON"]),
        ("s.json", '{"samples": []}', ["a JSON object where an array is needed", ".jsonl"]),
        ("s.json", '"text"', ["line 1, column 1", "expected '['"]),
        ("s.json", "[1]", ["row 1", "expected an object"]),
        ("s.jsonl", '{"id": 1, ' + P + '}\n\n{"id": 2, }', ["line 3, column 11"]),
        ("s.jsonl", '{"id": 1, ' + P + '} {"id": 2}', ["line 1, column 26"]),
        ("s.jsonl", '[{"id": 1, ' + P + "}]", ["line 1", "named .json"]),
        ("s.jsonl", '{"id": 1, "id": 2, ' + P + "}", ["line 1", "'id' occurs twice"]),
        ("s.json", '[{"id": 1, "id": 2, ' + P + "}]", ["row 1", "'id' occurs twice"]),
        ("s.jsonl", '{"id": 1, "x": Infinity, ' + P + "}", ["line 1", "Infinity"]),
        ("s.jsonl", '{"id": 1, "x": 1e999, ' + P + "}", ["line 1", "x is infinite"]),
        ("s.jsonl", '{"id": ' + "9" * 5000 + ", " + P + "}", ["line 1", "cannot be read"]),
        ("s.jsonl", '{"id": ' + "[" * 200_000 + "}", ["line 1", "cannot be read"]),
        ("s.json", '[{"id": ' + "[" * 200_000 + "}]", ["line 1", "cannot be read"]),
    ],
)
def test_json_that_is_wrong(tmp_path: Path, name: str, content: str, words: list[str]) -> None:
    _refused(written(tmp_path / name, content), *words)


@pytest.mark.parametrize("chunk", [1, 16, 64, 10_000])
@pytest.mark.parametrize("broken", range(0, 400, 13))
def test_the_place_of_a_json_mistake_is_the_one_that_python_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, broken: int
) -> None:
    content = json.dumps([{"id": i, "prompt": f"é\n{i}", "x": None} for i in range(12)], indent=1)
    content = content[:broken] + "!" + content[broken:]
    monkeypatch.setattr(json_array, "CHUNK", chunk)
    path = written(tmp_path / "s.json", content)
    try:
        rows = json.loads(content)
    except json.JSONDecodeError as error:
        _refused(path, f"line {error.lineno}, column {error.colno}")
    else:
        assert [row for _, row in json_array.read_json_array(path)] == rows


@pytest.mark.parametrize("name", ["s.json", "s.jsonl", "s.csv"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16_and_utf_32(tmp_path: Path, name: str, encoding: str) -> None:
    content = {"s.json": "[{}]", "s.jsonl": "{}", "s.csv": "id,prompt"}[name]
    _refused(written(tmp_path / name, content.encode(encoding)), "UTF-16", "save it as UTF-8")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "s.jsonl",
            b'{"id": 1, "prompt": "p"}\n{"id": 2, "prompt": "caf\xe9"}',
            ["line 2", "0xE9"],
        ),
        (
            "s.json",
            b'[{"id": 1, "prompt": "p"},\n{"id": 2, "prompt": "caf\xe9"}]',
            ["row 2", "0xE9"],
        ),
        ("s.json", b'[{"id": "\xe9", "prompt": "p"}]', ["row 1", "0xE9"]),
        ("s.csv", b"id,prompt\n1,p\n2,caf\xe9\n", ["row 2", "0xE9"]),
        ("s.csv", b"id,prompt,caf\xe9\n1,p,x\n", ["row 1", "0xE9"]),
        ("s.jsonl", b'{"id": 1, "prompt": "p", "x": {"y": "\\udc00"}}', ["line 1", "surrogate"]),
    ],
)
def test_bytes_that_are_not_utf_8(
    tmp_path: Path, name: str, content: bytes, words: list[str]
) -> None:
    _refused(written(tmp_path / name, content), *words)


def test_text_in_parquet_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    prompts = pa.array([b"fine", b"caf\xe9"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"id": ["a", "b"], "prompt": prompts}), path)
    _refused(path, "row 2", "not UTF-8")


@pytest.mark.parametrize("field", ["id", "prompt", "question", "country", "x"])
@pytest.mark.parametrize("name", ["s.json", "s.jsonl"])
def test_half_a_surrogate_pair_is_never_replaced_in_silence(
    tmp_path: Path, name: str, field: str
) -> None:
    row = json.dumps({"id": "a", "prompt": "p"} | {field: "smile \ud83d"})
    path = written(tmp_path / name, row if name == "s.jsonl" else f"[{row}]")
    _refused(path, "1:", "surrogate")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("id,prompt\n1,p\n2,p,extra\n", ["row 2 (line 3)", "3 fields", "names 2"]),
        ("id,prompt,x\n1,p\n", ["row 1 (line 2)", "2 fields", "names 3"]),
        ('id,prompt\n1,"two\nlines"\n2\n', ["row 2 (line 4)"]),
        ('id,prompt\n1,"p" q\n', ["row 1", "quotes"]),
        ('id,prompt\n1,"never closed\n2,p\n', ["row 1", "quotes"]),
        ("id,prompt,prompt\n1,p,q\n", ["two columns are named 'prompt'"]),
        ("id,id ,prompt\n1,2,p\n", ["two columns are named 'id'"]),
        (",id,prompt\n0,1,p\n", ["column 1 has no name", "index=False"]),
    ],
)
def test_a_csv_that_is_ragged_or_badly_quoted(
    tmp_path: Path, content: str, words: list[str]
) -> None:
    _refused(written(tmp_path / "s.csv", content), *words)


def test_a_parquet_file_that_names_a_column_twice(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    pq.write_table(pa.table([["a"], ["p"], ["q"]], names=["id", "prompt", "prompt"]), path)
    _refused(path, "two columns are named 'prompt'")


@pytest.mark.parametrize(
    ("first", "second"), [("a", "a"), (1, "1"), (1, 1.0), ("1", 1.0)], ids=repr
)
def test_two_rows_with_one_id_are_both_named(tmp_path: Path, first: object, second: object) -> None:
    ids = [first, "x", "y", second]
    path = jsonl(tmp_path / "s.jsonl", *({"id": i, "prompt": "p"} for i in ids))
    _refused(path, "line 4", "line 1", str(first))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"prompt": "p"}, ["lacks an id", "prompt"]),
        ({"id": None, "prompt": "p"}, ["'id' is empty"]),
        ({"id": " ", "prompt": "p"}, ["'id' is empty"]),
        ({"id": float("nan"), "prompt": "p"}, ["'id' is empty"]),
        ({"id": 1.5, "prompt": "p"}, ["1.5 is a fraction"]),
        ({"id": True, "prompt": "p"}, ["the id", "True"]),
        ({"id": [1], "prompt": "p"}, ["the id", "[1]"]),
        ({"id": "a\0b", "prompt": "p"}, ["the id", "NUL"]),
        ({"id": 2}, ["lacks a prompt", "samples.template"]),
        ({"id": 2, "prompt": None}, ["prompt is empty"]),
        ({"id": 2, "prompt": ""}, ["prompt is empty"]),
        ({"id": 2, "prompt": " \n"}, ["prompt is empty"]),
        ({"id": 2, "prompt": 7}, ["prompt must be text", "7"]),
        ({"id": 2, "prompt": ["p"]}, ["prompt must be text"]),
        ({"id": 2, "prompt": "a\0b"}, ["prompt holds a NUL character at position 2"]),
        ({"id": 2, "prompt": "p", "country": {"a": 1}}, ["country must be text"]),
        ({"id": 2, "prompt": "p", "": 1}, ["name ''"]),
        ({"id": 2, "prompt": "p", "human_response": 0}, ["human_response 0"]),
        ({"id": 2, "prompt": "p", "human_response": 11}, ["human_response 11"]),
        ({"id": 2, "prompt": "p", "human_response": -1}, ["human_response -1", "leave it empty"]),
        ({"id": 2, "prompt": "p", "human_response": 7.5}, ["human_response 7.5"]),
        ({"id": 2, "prompt": "p", "human_response": "seven"}, ["human_response 'seven'"]),
        ({"id": 2, "prompt": "p", "human_response": True}, ["human_response True"]),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_a_row_that_is_wrong(tmp_path: Path, row: dict[str, object], words: list[str]) -> None:
    path = jsonl(tmp_path / "s.jsonl", {"id": 1, "prompt": "fine"}, row)
    _refused(path, "line 2: ", *words)


USER = {"role": "user", "content": "Why?"}


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([], ["must be a list"]),
        ("Why?", ["not JSON"]),
        ({"role": "user"}, ["must be a list"]),
        ([USER, "x"], ["messages[1]", "role and content"]),
        ([{"role": "user"}], ["messages[0]", "role and content"]),
        ([{**USER, "name": "Ann"}], ["messages[0]", "exactly role and content"]),
        ([{**USER, "role": "tool"}], ["messages[0]", "'tool'", "system, user, assistant"]),
        ([{**USER, "content": [{"type": "text"}]}], ["messages[0].content must be text"]),
        ([{**USER, "content": " "}], ["messages[0].content is empty"]),
        ([{**USER, "content": "\ud800"}], ["messages[0].content", "surrogate"]),
        ([USER, {"role": "assistant", "content": "So."}], ["last message", "'assistant'"]),
    ],
)
def test_messages_that_are_wrong(tmp_path: Path, messages: object, words: list[str]) -> None:
    _refused(jsonl(tmp_path / "s.jsonl", {"id": 1, "messages": messages}), "line 1: ", *words)


def test_a_row_with_both_prompt_and_messages(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "s.jsonl", {"id": 1, "prompt": "p", "messages": [USER]})
    _refused(path, "line 1", "both a prompt and messages")


@pytest.mark.parametrize(
    "name",
    [
        *(
            "model",
            "condition",
            "draw",
            "response",
            "reasoning",
            "choice",
            "moral_score",
            "success",
        ),
        *("error", "finish_reason", "prompt_tokens", "completion_tokens", "inference_time"),
        *("timestamp", "evaluation_type", "env_id", "prompt_digest", "label_leak"),
    ],
)
def test_a_column_with_the_name_of_a_record_field(tmp_path: Path, name: str) -> None:
    path = jsonl(tmp_path / "s.jsonl", {"id": 1, "prompt": "p", name: 1})
    _refused(path, f"'{name}'", "rename it, or map it", f"source_{name}: {name}")


def test_a_mapping_to_a_column_that_is_not_there(tmp_path: Path) -> None:
    path = written(tmp_path / "s.csv", "id,prompt\n1,p\n")
    _refused(path, "no column 'txt'", "maps to prompt", "id, prompt", columns={"prompt": "txt"})
    path = jsonl(tmp_path / "s.jsonl", {"id": 1, "prompt": "p"})
    _refused(path, "no column 'nat'", "maps to country", columns={"country": "nat"})
    _refused(path, "line 1", "no column 'qid'", columns={"sample_id": "qid"})


def test_a_mapping_onto_a_name_that_the_file_uses_otherwise(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "s.jsonl", {"id": 1, "prompt": "p", "text": "t"})
    _refused(path, "'prompt' of its own", "rename one", columns={"prompt": "text"})


def test_a_failure_leaves_the_previous_samples_as_they_were(tmp_path: Path) -> None:
    before = prepare_file(jsonl(tmp_path / "s.jsonl", {"id": 1, "prompt": "p"}))
    content = before.output.read_bytes()
    with pytest.raises(UserError):
        prepare_file(
            jsonl(tmp_path / "s.jsonl", {"id": 1, "prompt": "p"}, {"id": 1, "prompt": "q"})
        )
    assert before.output.read_bytes() == content
    assert sorted(p.name for p in before.output.parent.iterdir()) == [
        "samples.json",
        "samples.parquet",
    ]
