"""The parsers by name, and what identifies one: an edited parser parses again, nothing more."""

import hashlib
from collections.abc import Callable, Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import TypeAlias

from evalpack.errors import UserError
from evalpack.extract.extraction import Extraction
from evalpack.extract.moral_rating import extract

Parser: TypeAlias = Callable[[str], Extraction]

DEFAULT = "moral_rating"
# Parsers that the config spells out (`regex:`, `json:`, `file.py:function`) belong beside this table.
PARSERS: Mapping[str, Parser] = MappingProxyType({DEFAULT: extract})


def parser_digest(name: str) -> str:
    """SHA-256 (hex) of a parser's name and the source of every module of this package.

    Raises:
        UserError: if there is no such parser.
    """
    if name not in PARSERS:
        known = ", ".join(sorted(PARSERS))
        raise UserError(f"parsers: there is no parser {name!r}; use one of: {known}")
    digest = hashlib.sha256(name.encode())
    modules = [item for item in files(__package__).iterdir() if item.name.endswith(".py")]
    for module in sorted(modules, key=lambda item: item.name):
        source = module.read_bytes()
        digest.update(f"\0{module.name}\0{len(source)}\0".encode() + source)
    return digest.hexdigest()
