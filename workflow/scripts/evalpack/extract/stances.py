"""The words: every place that calls the matter acceptable or justifiable, or denies it."""

import re
from dataclasses import dataclass

from evalpack.extract import lexicon, voice
from evalpack.extract.evidence import Evidence, Weight, plainest
from evalpack.extract.labels import find_label, is_correction
from evalpack.extract.polarity import Reading, Stance
from evalpack.extract.sentences import Place, Sentences

KEYWORD = re.compile(
    r"(?<![^\W_])(?P<un>un-? ?|in|non-? ?)?(?P<stem>accept|justif)(?:[ai]ble|i?able|ied)(?![^\W_])"
)
# "acceptable: no", "acceptable? yes", {"acceptable": false}
_ASKED = re.compile(
    r"(?: ?[:?=] ?\n?(?:absolutely |certainly |definitely )?"
    r"(?P<reply>yes|no|not|never|true|false)(?= ?(?:[.,;:!\n)-]|\Z))"
    r"|\n(?P<cell>yes|no|true|false)(?=\n|\Z))"
)
# What may follow the word where it stands alone; a noun ("acceptable behaviour varies") may not.
_ALONE = re.compile(
    r"\W{0,9}$| ?[.,;:!?)(|/-]| (?:because|since|as|due|for|to|in|on|with|and|given|but|though|although"
    r"|however|by|under|from|if|when|unless|only|at|i|regardless|even|per|based|according|§|\d)"
    r"| (?:behaviou?r|conduct|act|action|practice)\W{0,9}$"
)
_NUMBER_BEFORE = re.compile(r"\d(?:/10)?\)?[\s(,:;.-]{0,4}\Z")
_NUMBER_AFTER = re.compile(
    r"\W{0,3}(?:(?:with|and|so|a|an|my|the|rating|score|of|i|i'd|would|give|rate|it|this|as|is|at"
    r"|justifiable|justified)\W{1,2}){0,7}\d{1,2}(?![\d%\w])"
)
_LEADS_TO = re.compile(r"(?::|\b(?:but|yet|however),?) ?\Z")
_CONCLUDES = re.compile(r"(?::|\b(?:so|therefore|thus|hence)) ?\Z")
_CONCLUDING = re.compile(
    r"\W{0,9}(?:overall|in conclusion|in summary|to (?:conclude|sum)|ultimately)\b"
)
_SELF = re.compile(r"\b(?:i|i'd|i'm|i'll|my|personally)\b")


@dataclass(frozen=True, slots=True)
class Said:
    """What one place says, and whether it says so in the words that were asked for."""

    stance: Stance
    asked_for: bool  # "acceptable", not "justifiable"


def find_stances(text: str, sentences: Sentences) -> list[Evidence[Said]]:
    """Every claim in `text`, in order; what others think, asks or compares is left out."""
    found = []
    for match in KEYWORD.finditer(text):
        place = sentences.place(*match.span())
        asked_for = match["stem"] == "accept"
        read = _reply(text, match) or _claim(place, negative=match["un"] is not None)
        if read is not None:
            stance, weight = read
            found.append(Evidence(Said(stance, asked_for), weight))
    return found


def settle_stance(evidence: list[Evidence[Said]]) -> Stance | None:
    """The stance that the plainest places agree on; None without any, "unclear" if they do not."""
    said = plainest(evidence)
    said = [item for item in said if item.stance != "open"] or said
    said = [item for item in said if item.asked_for] or said
    stances = {item.stance for item in said}
    if not stances:
        return None
    return stances.pop() if len(stances) == 1 else "unclear"


def _reply(text: str, match: re.Match[str]) -> tuple[Stance, Weight] | None:
    reply = _ASKED.match(text, match.end())
    if reply is None:
        return None
    affirmed = (reply["reply"] or reply["cell"]) in {"yes", "true"}
    if match["un"] is not None:
        return ("unacceptable" if affirmed else "unclear"), Weight.LABELLED
    return ("acceptable" if affirmed else "unacceptable"), Weight.LABELLED


def _claim(place: Place, *, negative: bool) -> tuple[Stance, Weight] | None:
    reading = Reading(place.clause)
    stance = reading.stance(negative=negative)
    if stance is None or not _is_claimed(place, reading):
        return None
    weight = _weight(place, reading)
    conditional = voice.is_conditional(place.aside, place.after)
    if stance == "open" or conditional or voice.is_tentative(place.clause):
        # In passing it is a mere exception: "acceptable in some cases but generally unacceptable".
        return ("open", weight) if weight >= Weight.LABELLED else None
    if reading.alone and stance == "acceptable" and _is_denied_before(place):
        stance = "unclear"
    return stance, weight


def _is_claimed(place: Place, reading: Reading) -> bool:
    """True if the model itself says so of the matter, and does not ask, quote or compare."""
    return not (
        "?" in place.end
        or place.after.startswith((" as ", " than "))
        or (reading.alone and not _ALONE.match(place.after))
        or voice.is_hearsay(place.aside, place.after)
        or voice.is_indirect(place.clause)
        or voice.is_example(place.before)
    )


def _is_denied_before(place: Place) -> bool:
    """True if a negation stands earlier beside it: "not legal, moral, or acceptable"."""
    earlier = place.aside[: len(place.aside) - len(place.clause)]
    if _CONCLUDES.search(earlier):
        return False
    return any(map(lexicon.negates, lexicon.split_words(earlier)))


def _weight(place: Place, reading: Reading) -> Weight:
    if is_correction(place, other=KEYWORD):
        return Weight.FINAL
    label = find_label(place)
    if label is not None and not KEYWORD.search(label.between):
        return label.weight
    earlier = place.before[: len(place.before) - len(place.clause)]
    leads = not earlier.strip() or _LEADS_TO.search(earlier) or _NUMBER_BEFORE.search(earlier)
    if (reading.alone and leads) or _NUMBER_AFTER.match(place.after):
        return Weight.LABELLED
    if _SELF.search(place.aside) or _CONCLUDING.match(place.before):
        return Weight.STATED
    return Weight.HINT
