"""Evidence: a place in the text that says something, and how plainly it does."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, TypeVar

T = TypeVar("T")


class Weight(IntEnum):
    """How plainly a place in the text gives the answer; the plainest there are decide alone."""

    HINT = 0  # the word in running prose; a number alone on a line
    STATED = 1  # "i would rate it 7", "7/10", "in my view it is acceptable"
    LABELLED = 2  # in the form asked for: "rating: 7", "unacceptable (2/10)", the first line
    FINAL = 3  # said to be the last word: "final rating: 5", \boxed{5}, "no, wait: 5"


@dataclass(frozen=True, slots=True)
class Evidence(Generic[T]):
    value: T
    weight: Weight


def plainest(evidence: Sequence[Evidence[T]]) -> list[T]:
    """The values that decide: those of the greatest weight; of final ones only the last."""
    if not evidence:
        return []
    top = max(item.weight for item in evidence)
    values = [item.value for item in evidence if item.weight == top]
    return values[-1:] if top is Weight.FINAL else values
