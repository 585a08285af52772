"""Names of models and runs, and the file names made out of them."""

import re

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


def slug(name: str) -> str:
    """File name of a model: every character outside `[A-Za-z0-9._-]` becomes `-`.

    >>> slug("llama3.1:8b")
    'llama3.1-8b'
    """
    plain = _UNSAFE.sub("-", name)
    # A leading dot would hide the file, and `.` or `..` would be a folder.
    return "-" + plain[1:] if plain.startswith(".") else plain
