"""Sentences, and the clause that a word stands in."""

import re
from bisect import bisect_right
from dataclasses import dataclass

_END = re.compile(r"[.!?;]{1,8}(?=[\s)]|$)|\n")
_ADVERSATIVE = re.compile(
    r"\b(?:but|however|although|though|yet|whereas|while|nevertheless|nonetheless)\b"
)
_BREAK = re.compile(
    rf"[,:()|]| - |{_ADVERSATIVE.pattern}|\b(?:because|since|so|therefore|thus|hence|then)\b"
)
REACH = 240  # characters looked at on either side; keeps the work linear in the length of the text


@dataclass(frozen=True, slots=True)
class Place:
    """What surrounds a span of the text, within its sentence.

    Attributes:
        before: the sentence up to the span.
        aside: of that, what comes after the last "but", "while", ...
        clause: of that, what comes after the last comma, colon, bracket or conjunction.
        after: the rest of the sentence.
        end: the punctuation that ends the sentence ("" at a line's end).
        line: what stands on the same line before the span.
        above: the line above that line.
        earlier: the text up to the span, over sentences.
    """

    before: str
    aside: str
    clause: str
    after: str
    end: str
    line: str
    above: str
    earlier: str


class Sentences:
    """A text cut into sentences once, so that many spans can be placed in it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._stops = [match.span() for match in _END.finditer(text)]
        self._starts = [start for start, _ in self._stops]
        self._lines = [match.start() for match in re.finditer("\n", text)]

    def place(self, start: int, end: int) -> Place:
        """Where the span from `start` to `end` stands."""
        index = bisect_right(self._starts, start)
        left = self._stops[index - 1][1] if index else 0
        left = min(left, start)
        following = bisect_right(self._starts, end - 1)
        right, stop = self._stops[following] if following < len(self._stops) else (None, None)
        before = self.text[max(left, start - REACH) : start]
        line = bisect_right(self._lines, start)
        line_start = self._lines[line - 1] + 1 if line else 0
        above_start = self._lines[line - 2] + 1 if line > 1 else 0
        aside = _after_last(_ADVERSATIVE, before)
        return Place(
            before=before,
            aside=aside,
            clause=_after_last(_BREAK, aside),
            after=self.text[end : min(right if right is not None else len(self.text), end + REACH)],
            end=self.text[right:stop].strip() if right is not None else "",
            line=self.text[max(line_start, start - REACH) : start],
            above=self.text[max(above_start, line_start - REACH) : max(line_start - 1, 0)],
            earlier=self.text[max(0, start - REACH) : start],
        )


def _after_last(pattern: re.Pattern[str], text: str) -> str:
    end = 0
    for match in pattern.finditer(text):
        end = match.end()
    return text[end:]
