"""The type of a carried column, when rows and batches of rows may disagree about it."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from evalpack.samples.sample import Scalar
from evalpack.samples.values import json_text

EXACT = 2**53  # a float holds every whole number up to here
LARGEST = 2**63 - 1


class Kind(StrEnum):
    """What a column holds; mixed values make it TEXT: strings as they are, the rest as JSON."""

    NOTHING = "nothing"
    BOOL = "bool"
    INT = "int"
    LARGE_INT = "large int"  # not exact as a float
    FLOAT = "float"
    TEXT = "text"

    def __or__(self, other: str) -> "Kind":
        """The kind of a column that holds values of both."""
        kinds = {self, Kind(other)} - {Kind.NOTHING}
        if len(kinds) < 2:
            return kinds.pop() if kinds else Kind.NOTHING
        if kinds == {Kind.INT, Kind.LARGE_INT}:
            return Kind.LARGE_INT
        return Kind.FLOAT if kinds == {Kind.INT, Kind.FLOAT} else Kind.TEXT

    @property
    def arrow(self) -> pa.DataType:
        """The column's type in Arrow and Parquet."""
        return _ARROW[self]


_ARROW: dict[Kind, pa.DataType] = {
    Kind.NOTHING: pa.string(),
    Kind.BOOL: pa.bool_(),
    Kind.INT: pa.int64(),
    Kind.LARGE_INT: pa.int64(),
    Kind.FLOAT: pa.float64(),
    Kind.TEXT: pa.string(),
}
_SIMPLE = {bool: Kind.BOOL, float: Kind.FLOAT, str: Kind.TEXT}


def kind_of(values: Sequence[Scalar]) -> Kind:
    """The kind of a column with these values."""
    kind = Kind.NOTHING
    for type_ in set(map(type, values)) - {type(None)}:
        if type_ is int:
            largest = max(abs(v) for v in values if type(v) is int)
            whole = Kind.INT if largest <= EXACT else Kind.LARGE_INT
            kind |= whole if largest <= LARGEST else Kind.TEXT
        else:
            kind |= _SIMPLE[type_]
    return kind


def stored(values: Sequence[Scalar], kind: Kind) -> "pa.Array[Any]":
    """An array of a batch's values: of the kind's own type if all agree, else JSON text.

    Text, because a later batch may turn the column into TEXT, where 1 must not have become 1.0.
    """
    if len(set(map(type, values)) - {type(None)}) > 1 or kind is Kind.TEXT:
        return pa.array([json_text(value) for value in values], pa.string())
    return pa.array(values, kind.arrow)


def conformed(array: "pa.Array[Any]", kind: Kind) -> "pa.Array[Any]":
    """An array that `stored` made, as a column of the final kind."""
    if array.type == kind.arrow:
        return array
    if kind is Kind.TEXT:
        return pa.array([json_text(value) for value in array.to_pylist()], pa.string())
    return pc.cast(array, kind.arrow)
