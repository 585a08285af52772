"""CSV and TSV: comma, semicolon or tab; quoted fields may hold newlines; every value is text."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from evalpack.errors import UserError
from evalpack.samples.values import shown

DELIMITERS = ",;\t"
LONGEST_FIELD = 1 << 28  # characters; the csv module's own limit of 131,072 refuses long prompts


def read_delimited(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (row number from 1, fields by column); the header is no row, blank lines neither.

    Raises:
        UserError: naming the row that has too few or too many fields or broken quotes, or the
            column name that is missing or used twice.
    """
    csv.field_size_limit(LONGEST_FIELD)
    # surrogateescape carries a byte that is not UTF-8 to the row it stands in, which is then named.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        delimiter = "\t" if path.suffix.lower() == ".tsv" else _delimiter(file)
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        row = 0
        try:
            header = _header(path, next((fields for fields in reader if fields), []))
            for fields in reader:
                if not fields:
                    continue
                row += 1
                if len(fields) != len(header):
                    raise UserError(
                        f"{path}, row {row} (line {reader.line_num}): {len(fields)} fields, but "
                        f"the header names {len(header)}: put quotes around a field that holds "
                        f"{delimiter!r} or a newline"
                    )
                yield row, dict(zip(header, fields, strict=True))
        except csv.Error as error:
            raise UserError(
                f"{path}, row {row + 1} (line {reader.line_num}): {error}: "
                'put a field in "quotes" and double the quotes inside it'
            ) from None


def _delimiter(file: TextIO) -> str:
    """The delimiter that divides the header into the most columns."""
    columns = {}
    for delimiter in DELIMITERS:
        file.seek(0)
        try:
            columns[delimiter] = len(next(csv.reader(file, delimiter=delimiter, strict=True), []))
        except csv.Error:
            columns[delimiter] = 0
    file.seek(0)
    return max(columns, key=columns.__getitem__)


def _header(path: Path, fields: list[str]) -> list[str]:
    names = [name.strip() for name in fields]  # "id, prompt": the blank is no part of the name
    for i, name in enumerate(names):
        if not name:
            raise UserError(
                f"{path}: column {i + 1} has no name: give it one (pandas writes its index so; "
                "index=False leaves it out)"
            )
        if name in names[:i]:
            raise UserError(f"{path}: two columns are named {shown(name)}: rename one")
    return names
