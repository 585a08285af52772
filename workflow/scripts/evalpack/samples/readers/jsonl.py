"""JSONL: one object a line; blank lines hold nothing and are skipped."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evalpack.errors import UserError
from evalpack.samples.readers.encoding import BOM
from evalpack.samples.readers.json_values import DECODER, as_row
from evalpack.samples.values import BadValue


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, object).

    Raises:
        UserError: naming the line that is not UTF-8, not JSON or not an object.
    """
    # Bytes, because only "\n" ends a line: text mode would also translate "\r".
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if number == 1:
                line = line.removeprefix(BOM)  # noqa: PLW2901 (the mark is no part of the line)
            if not line.isspace() and line:
                yield number, _parse(line, f"{path}, line {number}")


def _parse(line: bytes, where: str) -> dict[str, Any]:
    try:
        return as_row(
            DECODER.decode(line.decode()), " (a file that holds one JSON array is named .json)"
        )
    except UnicodeDecodeError as error:
        byte = line[error.start]
        raise UserError(
            f"{where}: byte {error.start + 1} (0x{byte:02X}) is not UTF-8: save the file as UTF-8"
        ) from None
    except json.JSONDecodeError as error:
        raise UserError(f"{where}, column {error.colno}: not valid JSON: {error.msg}") from None
    except BadValue as error:
        raise UserError(f"{where}: {error}") from None
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, 10,000 nested lists
        raise UserError(f"{where}: this JSON cannot be read: {error}") from None
