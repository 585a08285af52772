"""Label leak: a prompt that tells the model what the person answered.

Agreement on such a prompt measures nothing, so it is worth a loud warning; but the digits of the
scale are in every prompt, so only a number that is *said to be a person's answer* counts.
"""

import re
from functools import lru_cache

_WHO = (
    r"(?<![a-z])(?:human|respondent|participant|interviewee|annotator|person|people|survey|actual"
    r"|true|correct|observed|recorded|reported|original|expected|reference|gold|ground[\s_-]?truth)"
)
_WHAT = r"(?:response|answer|rating|score|judge?ment|reply|choice|label)s?(?![a-z])"
_DID = (
    r"(?<![a-z])(?:answered|responded|replied|rated|scored|chose|selected|picked|gave|said)"
    r"(?![a-z])"
)
_TRUTH = r"(?<![a-z])(?:ground[\s_-]?truth|gold(?:\s+standard)?|(?:true|actual)\s+value)"
_IS = r"[\"'*\s]*(?::|=|->|\u2192|\||\b(?:is|was|of)\b)[\"'*\s(]*(?:an?\s)?"
_COUNTED = r"(?:question|item|wave|number|no\.|#)\s*"  # "answered question 7" is no rating

# What stands before a number that is an answer ...
_ANSWER_IS = re.compile(
    rf"(?:{_WHO}[^.\n]{{0,40}}?{_WHAT}[^.\n:=\d]{{0,40}}?{_IS}"
    rf"|{_WHO}[^.\n]{{0,40}}?{_DID}(?:(?!{_COUNTED})[^.\n\d]){{0,40}}?"
    rf"|{_TRUTH}{_IS})\Z"
)
# ... or after it.
_IS_ANSWER = re.compile(
    rf"(?:\s*/\s*10|\s+out\s+of\s+(?:10|ten))?\s+(?:is|was)\s[^.\n]{{0,20}}?{_WHO}[^.\n]{{0,20}}?(?:{_WHAT}|{_DID})"
)
_BEFORE, _AFTER = 160, 80  # characters: as far as the two patterns can reach
_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def gives_away(text: str, human_response: int | None) -> bool:
    """True if `text` says that a person's answer is `human_response` (1..10)."""
    if human_response is None:
        return False
    text = text.lower()
    if str(human_response) not in text and _WORDS[human_response - 1] not in text:
        return False
    return any(
        _ANSWER_IS.search(text[max(0, found.start() - _BEFORE) : found.start()])
        or _IS_ANSWER.match(text[found.end() : found.end() + _AFTER])
        for found in _number(human_response).finditer(text)
    )


@lru_cache(maxsize=16)
def _number(answer: int) -> re.Pattern[str]:
    # "1 to 10", "1 (never) - 10" and "1 = never, 10 = always" describe the scale, not an answer.
    to_ten = (
        r"\s*(?:\([^)\n]{0,40}\)\s*)?(?:-|\u2013|\u2014|to\b|through\b|and\b|or\b)\s*(?:\d|ten\b)"
    )
    key_of_scale = r"\s*(?:=|means?\b|is\b|for\b)[^.\n]{0,60}?(?<![/\w])(?<!of )(?:10|ten)\b"
    return re.compile(
        rf"(?:{answer}(?:\.0)?|{_WORDS[answer - 1]})"
        rf"(?<![\w.,]{answer})(?<![\w.,]{answer}\.0)(?<![\w.,]{_WORDS[answer - 1]})"
        rf"(?!\w|[.,]\d|{to_ten}|{key_of_scale})"
    )
