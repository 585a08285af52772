"""Strict JSON: what Python's decoder would accept or drop in silence is an error here."""

import json
from typing import Any

from evalpack.samples.values import BadValue, shown


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadValue(f"the key {shown(twice)} occurs twice in one object: keep one")
    return value


def _constant(name: str) -> None:
    if name != "NaN":  # NaN is how pandas and json.dumps write a missing value
        raise BadValue(f"{name} is not JSON: write the number as text")


DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)


def as_row(value: object, hint: str) -> dict[str, Any]:
    """Return `value` if it is an object.

    Raises:
        BadValue: otherwise, ending in `hint`.
    """
    if not isinstance(value, dict):
        raise BadValue(
            f'expected an object such as {{"id": 1, "prompt": "..."}}, found {shown(value)}{hint}'
        )
    return value
