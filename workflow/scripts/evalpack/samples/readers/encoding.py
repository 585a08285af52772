"""Text files must be UTF-8; a byte order mark is accepted and skipped."""

import codecs
from pathlib import Path

from evalpack.errors import UserError

BOM = codecs.BOM_UTF8


def check_encoding(path: Path) -> None:
    """Raise UserError if `path` begins as UTF-16 or UTF-32 text does."""
    with path.open("rb") as file:
        start = file.read(4)
    # No sample file begins with NUL, while every other byte of ASCII text in UTF-16 is one.
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in start:
        raise UserError(f"{path} is UTF-16 or UTF-32 text: save it as UTF-8")
