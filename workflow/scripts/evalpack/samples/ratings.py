"""Ratings: whole numbers from 1 (never justifiable) to 10 (always justifiable)."""

import math
import re

from evalpack.samples.values import BadValue, shown

LOWEST, HIGHEST = 1, 10
BLANKS = frozenset(
    {"", ".", "na", "n/a", "nan", "null", "none"}
)  # as Excel, R, Stata and pandas write them
_WHOLE = re.compile(r"\s*([+-]?[0-9]{1,18})(?:\.0*)?\s*")


def whole_number(value: object) -> int | None:
    """`value` ("7", 7, 7.0) as an int; None if it is blank.

    Raises:
        BadValue: if it is no whole number.
    """
    if type(value) is int:
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, str):
        if match := _WHOLE.fullmatch(value):
            return int(match[1])
        if value.strip().casefold() in BLANKS:
            return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise BadValue(f"{shown(value)} is not a whole number from {LOWEST} to {HIGHEST}")


def rating(value: object) -> int | None:
    """`value` as a rating; None if it is blank.

    Raises:
        BadValue: if it is neither blank nor a whole number from 1 to 10.
    """
    number = whole_number(value)
    if number is None or LOWEST <= number <= HIGHEST:
        return number
    raise BadValue(f"{number} is not a whole number from {LOWEST} to {HIGHEST}")
