"""Single values: what may stand in a field, and how it is written down as text."""

import json
import math
from datetime import date, time
from decimal import Decimal

from evalpack.errors import UserError
from evalpack.samples.sample import Scalar


class BadValue(UserError):
    """What is wrong with one value; the reader of the file adds the file and the row."""


def shown(value: object) -> str:
    """`value` as an error message quotes it: at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def writable(text: str, name: str) -> str:
    """Return `text`, or raise BadValue if it cannot be written as UTF-8."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            # Readers decode a stray byte 0xNN to U+DCNN, so that it surfaces here, beside its row.
            code = ord(text[error.start])
            if 0xDC80 <= code <= 0xDCFF:
                byte = f"0x{code - 0xDC00:02X}"
                problem = f"holds the byte {byte}, which is not UTF-8: save the file as UTF-8"
            else:
                problem = (
                    f"holds half a character (\\u{code:04x}, a lone surrogate): write the whole one"
                )
            raise BadValue(f"{name} {problem}") from None
    return text


def label(value: object, name: str) -> str | None:
    """An id, question or country as text, or None if it is empty.

    Whole numbers become their digits, also when pandas made them floats (1.0), so that 1, 1.0 and
    "1" are the same id.

    Raises:
        BadValue: for a NUL byte, a fraction, a truth value or a nested value.
    """
    if isinstance(value, str):
        if "\0" in value:
            raise BadValue(f"{name} {shown(value)} holds a NUL character: take it out")
        return writable(value, name) if value.strip() else None
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        if not math.isfinite(value) or value != int(value):
            raise BadValue(f"{name} {shown(value)} is a fraction: write it as text, in quotes")
        return str(int(value))
    raise BadValue(f"{name} must be text or a whole number, not {shown(value)}")


def carried(value: object, name: str) -> Scalar:
    """A carried value as it is stored: scalars as they are, nested values as JSON text.

    Raises:
        BadValue: for bytes, an infinite number or text that is not UTF-8.
    """
    if isinstance(value, str):
        return writable(value, name)
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, float):
        if math.isinf(value):
            raise BadValue(f"{name} is infinite, which JSON cannot say: write it as text")
        return None if math.isnan(value) else value
    if isinstance(value, dict | list | tuple):
        return writable(json.dumps(value, ensure_ascii=False, default=_plain), name)
    return writable(_plain(value), name)


def json_text(value: Scalar) -> str | None:
    """A value of a column that mixes types: text as it is, everything else as JSON."""
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        raise BadValue(f"{shown(value)} is binary, not text: decode it or leave the column out")
    return value.isoformat() if isinstance(value, date | time) else str(value)
