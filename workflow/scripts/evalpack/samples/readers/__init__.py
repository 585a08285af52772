"""Rows out of any input file, one at a time, as dictionaries numbered for error messages."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalpack.errors import UserError
from evalpack.samples.readers.delimited import read_delimited
from evalpack.samples.readers.encoding import check_encoding
from evalpack.samples.readers.json_array import read_json_array
from evalpack.samples.readers.jsonl import read_jsonl
from evalpack.samples.readers.parquet import read_parquet

Reader = Callable[[Path], Iterator[tuple[int, dict[str, Any]]]]

READERS: dict[str, tuple[str, Reader]] = {
    ".json": ("json", read_json_array),
    ".jsonl": ("jsonl", read_jsonl),
    ".ndjson": ("jsonl", read_jsonl),
    ".csv": ("csv", read_delimited),
    ".tsv": ("tsv", read_delimited),
    ".parquet": ("parquet", read_parquet),
}


@dataclass(frozen=True, slots=True)
class Source:
    """An input file that is there and not empty; nothing of its rows has been read yet.

    Attributes:
        form: json, jsonl, csv, tsv or parquet.
        rows: (number, columns by name); numbers count lines in JSONL and rows from 1 elsewhere.
    """

    path: Path
    form: str
    rows: Iterator[tuple[int, dict[str, Any]]]

    @property
    def unit(self) -> str:
        """What the numbers of the rows count."""
        return "line" if self.form == "jsonl" else "row"

    @property
    def tabular(self) -> bool:
        """True where every row has the same columns."""
        return self.form in ("csv", "tsv", "parquet")

    def error(self, row: int, problem: object) -> UserError:
        """`problem`, preceded by the file and the row that it is in."""
        return UserError(f"{self.path}, {self.unit} {row}: {problem}")


def open_source(path: Path) -> Source:
    """Choose the reader by the file's extension.

    Raises:
        UserError: if there is no such file, if it is empty, not UTF-8 or of an unknown kind.
    """
    known = READERS.get(path.suffix.lower())
    if known is None:
        raise UserError(
            f"{path}: unknown extension {path.suffix or '(none)'!r} for samples; "
            f"known are {', '.join(READERS)}"
        )
    try:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise UserError(f"{path} {what}: set samples.path to the samples file")
        if path.stat().st_size == 0:
            raise UserError(
                f"{path} is empty (0 bytes): samples.path must name a file with samples"
            )
        form, read = known
        if form != "parquet":
            check_encoding(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    return Source(path, form, read(path))
