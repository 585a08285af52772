"""Columns that evalpack does not know go through to the end, whatever they hold."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from samples_support import Prepared, jsonl, prepare_file, written

from evalpack.samples import spool


def _carried(tmp_path: Path, *values: object) -> Prepared:
    rows = (
        {"id": i, "prompt": f"p{i}"} | ({} if v is ... else {"x": v}) for i, v in enumerate(values)
    )
    return prepare_file(jsonl(tmp_path / "s.jsonl", *rows))


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        (["a", None, ""], ["a", None, ""]),
        ([1, None, 2**60], [1, None, 2**60]),
        ([1, 2.5, ...], [1.0, 2.5, None]),
        ([True, ..., False], [True, None, False]),
        ([1, "one", None, 2.0, True], ["1", "one", None, "2.0", "true"]),
        ([[1, "é"], {"b": {"a": None}}], ['[1, "é"]', '{"b": {"a": null}}']),
        ([1, [2]], ["1", "[2]"]),
        ([2**60, 0.5], [str(2**60), "0.5"]),
        ([2**70, 1], [str(2**70), "1"]),
        ([None, None], [None, None]),
        ([float("nan"), 1.5], [None, 1.5]),
    ],
)
@pytest.mark.parametrize("batch_rows", [1, 2, 100])
def test_a_carried_column_keeps_its_values_however_the_rows_are_batched(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    values: list[object],
    kept: list[object],
    batch_rows: int,
) -> None:
    monkeypatch.setattr(spool, "BATCH_ROWS", batch_rows)
    column = _carried(tmp_path, *values).column("x")
    assert column == kept
    assert [type(value) for value in column] == [type(value) for value in kept]


def test_values_of_a_csv_stay_the_text_they_are(tmp_path: Path) -> None:
    row = prepare_file(written(tmp_path / "s.csv", "id,prompt,zip,empty\n007,p,01234,\n")).rows[0]
    assert (row["sample_id"], row["zip"], row["empty"]) == ("007", "01234", "")


def test_types_of_parquet_that_json_lacks_become_text(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    row = {"id": 1, "prompt": "p", "at": datetime(2026, 1, 2, tzinfo=UTC), "price": Decimal("1.50")}
    pq.write_table(pa.Table.from_pylist([row]), path)
    kept = prepare_file(path).rows[0]
    assert kept["at"] == "2026-01-02T00:00:00+00:00"
    assert kept["price"] == "1.50"


def test_columns_keep_the_order_in_which_they_appear(tmp_path: Path) -> None:
    rows = {"id": 1, "z": 1, "prompt": "p", "a": 1}, {"id": 2, "prompt": "p", "m": 1}
    prepared = prepare_file(jsonl(tmp_path / "s.jsonl", *rows))
    assert list(prepared.rows[0])[8:] == ["z", "a", "m"]


def test_the_file_says_its_schema_version(tmp_path: Path) -> None:
    metadata = pq.read_schema(_carried(tmp_path, 1).output).metadata
    assert metadata[b"schema_version"] == b"1"


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    first = _carried(tmp_path, 1, "a").output.read_bytes()
    assert _carried(tmp_path, 1, "a").output.read_bytes() == first
