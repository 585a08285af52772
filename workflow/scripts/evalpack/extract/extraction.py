"""What a parser makes of one answer."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Choice: TypeAlias = Literal["acceptable", "unacceptable", "unknown"]


@dataclass(frozen=True, slots=True)
class Extraction:
    """A choice and a rating, as the answer gives them.

    Attributes:
        choice: by the words where they are clear, else by the side of the scale that the number is on.
        moral_score: a whole number from 1 to 10; None if the answer gives none, or several.
        disagreement: the words say one thing and the number another; both are kept as said.
    """

    choice: Choice
    moral_score: int | None
    disagreement: bool
