"""The grammar of a rating: "7", "seven", "7/10", "7 or 8", "7.5", "4 out of 5"."""

import math
import re
from dataclasses import dataclass

from evalpack.extract.extraction import Choice
from evalpack.extract.wording import any_of

LOWEST, LAST_UNACCEPTABLE, FIRST_ACCEPTABLE, HIGHEST = 1, 5, 6, 10


@dataclass(frozen=True, slots=True)
class Rating:
    """A rating as it was given: "7" is 7..7, "7-8" is 7..8, "4/5" could be anything."""

    low: float
    high: float

    @property
    def score(self) -> int | None:
        """The whole number from 1 to 10 that this is; nothing is rounded."""
        exact = self.low == self.high and self.low.is_integer()
        return int(self.low) if exact and LOWEST <= self.low <= HIGHEST else None

    @property
    def side(self) -> Choice:
        """The side of the scale on which all of it lies."""
        if self.low >= LOWEST and self.high <= LAST_UNACCEPTABLE:
            return "unacceptable"
        if self.low >= FIRST_ACCEPTABLE and self.high <= HIGHEST:
            return "acceptable"
        return "unknown"


ANYTHING = Rating(-math.inf, math.inf)

_NAMES = "zero one two three four five six seven eight nine ten eleven"
_VALUES = {name: float(value) for value, name in enumerate(_NAMES.split())}
_NUMBER = rf"(?:\d{{1,3}}(?:[.,]\d{{1,2}})?|{any_of(_NAMES)})(?![a-z0-9]|-[a-z])"
_OR = any_of("to or and or_maybe or_even maybe perhaps bis oder und à ou et o y a e и или до")
_RANGE = rf"(?: ?(?:-|~|&) ?|,? {_OR} |到|至|或)(?:an? )?"
# "7/10", "7 out of 10", and the same in the languages that are asked most.
_OUT_OF = (
    rf" ?(?:分|점|点)?(?: ?/ ?| {any_of('of out_of over on von auf sur de su из من على')}"
    rf"(?: {any_of('a an the possible total maximum of')}){{0,4}} )"
)
NUMBER = re.compile(
    rf"(?<![a-z0-9_/#$€£<>≤≥])(?<!\d[.,-])(?<![<>≤≥] )(?P<low>-?{_NUMBER})(?P<half> and a half)?"
    rf"(?:(?:{_OUT_OF}(?:10|ten))?{_RANGE}(?P<high>{_NUMBER}))?"
    rf"(?:{_OUT_OF}(?P<base>\d{{1,4}}|ten|five|hundred)(?![a-z0-9]))?"
    r"(?!\d|[.,/]\d| ?%| ?percent\b)"
)


def is_out_of_ten(match: re.Match[str]) -> bool:
    """True if the number that `NUMBER` matched says of itself that it is out of ten."""
    return match["base"] in {"10", "ten"}


def rating(match: re.Match[str]) -> Rating:
    """The rating that `NUMBER` matched; anything if it is on another scale."""
    if match["base"] and not is_out_of_ten(match):
        return ANYTHING
    ends = [_value(match["low"]) + (0.5 if match["half"] else 0)]
    if match["high"]:
        ends.append(_value(match["high"]))
    return Rating(min(ends), max(ends))


def _value(number: str) -> float:
    digits = number.lstrip("-")
    size = _VALUES[digits] if digits in _VALUES else float(digits.replace(",", "."))
    return -size if number.startswith("-") else size
