"""A JSON array of objects, decoded one object at a time so that memory does not grow.

Not ijson: its C parser turns a lone surrogate into "?", keeps the last of two equal keys, and
names neither line nor column of a mistake.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from evalpack.errors import UserError
from evalpack.samples.readers.json_values import DECODER, as_row
from evalpack.samples.values import BadValue

CHUNK = 1 << 20  # characters
_BLANKS = " \t\n\r"
_LOOKAHEAD = 16  # the longest token that a chunk can cut in two: -Infinity, \\uXXXX\\uXXXX


def read_json_array(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (row number from 1, object).

    Raises:
        UserError: naming line and column of what is not JSON, or the row that is not an object.
    """
    # surrogateescape carries a byte that is not UTF-8 to the row it stands in, which is then named.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        text = _Text(path, file)
        if text.peek() == "":
            return
        if text.peek() == "{":
            raise UserError(
                f"{path} holds a JSON object where an array is needed: put the samples in [ ], "
                "or name the file .jsonl if it has one object a line"
            )
        text.expect("[")
        row = 0
        while text.peek() != "]":
            if row:
                text.expect(",")
            row += 1
            try:
                yield row, as_row(text.value(), "")
            except BadValue as error:
                raise UserError(f"{path}, row {row}: {error}") from None
        text.expect("]")
        if text.peek():
            raise text.error("something follows the closing ]")


def bytes_of_rows(path: Path, rows: int) -> int:
    """Bytes that the first rows of a file take, as they are written in it.

    Raises:
        UserError: naming line and column of what is not JSON.
    """
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        text = _Text(path, file)
        text.expect("[")
        for row in range(rows):
            if row:
                text.expect(",")
            text.value()
        return text.bytes


class _Text:
    """A window on the file that knows its line and column."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self._path, self._file = path, file
        self._window, self._at = "", 0
        self._line, self._column = 1, 1  # of the window's first character
        self._dropped = 0  # bytes before it
        self._ended = False

    @property
    def bytes(self) -> int:
        """Bytes of the file that are decoded."""
        decoded = self._window[: self._at]
        return self._dropped + len(decoded.encode("utf-8", "surrogateescape"))

    def peek(self) -> str:
        """The next character that is not blank, or "" at the end."""
        while True:
            while self._at < len(self._window):
                if self._window[self._at] not in _BLANKS:
                    return self._window[self._at]
                self._at += 1
            if not self._more():
                return ""

    def expect(self, character: str) -> None:
        if self.peek() != character:
            raise self.error(f"expected {character!r}")
        self._at += 1

    def value(self) -> Any:
        """Decode the value that begins here, reading as much of the file as it takes."""
        self.peek()
        while True:
            try:
                value, self._at = DECODER.raw_decode(self._window, self._at)
            except json.JSONDecodeError as error:
                wrong = self.error(
                    f"not valid JSON: {error.msg}", error.pos
                )  # before the window moves
                at_edge = error.pos > len(self._window) - _LOOKAHEAD
                cut = at_edge or error.msg.startswith("Unterminated")
                if not (cut and self._more()):
                    raise wrong from None
            except (ValueError, RecursionError) as error:
                raise self.error(f"this JSON cannot be read: {error}") from None
            else:
                return value

    def error(self, problem: str, at: int | None = None) -> UserError:
        line, column = self._position(self._at if at is None else at)
        return UserError(f"{self._path}, line {line}, column {column}: {problem}")

    def _position(self, at: int) -> tuple[int, int]:
        newlines = self._window.count("\n", 0, at)
        if not newlines:
            return self._line, self._column + at
        return self._line + newlines, at - self._window.rindex("\n", 0, at)

    def _more(self) -> bool:
        """Drop what is decoded and read on, more the longer the value; False at the end."""
        self._line, self._column = self._position(self._at)
        self._dropped = self.bytes
        rest = self._window[self._at :]
        chunk = self._file.read(max(CHUNK, len(rest)))
        self._window, self._at = rest + chunk, 0
        return bool(chunk)
