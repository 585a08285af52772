"""The numbers: every place that rates the matter, and none that counts something else."""

import re
from collections.abc import Sequence

from evalpack.extract import voice
from evalpack.extract.evidence import Evidence, Weight, plainest
from evalpack.extract.labels import find_label, is_correction
from evalpack.extract.numbers import ANYTHING, NUMBER, Rating, is_out_of_ten, rating
from evalpack.extract.sentences import Place, Sentences
from evalpack.extract.stances import KEYWORD
from evalpack.extract.wording import any_of

_COUNTED = re.compile(
    " ?"
    + any_of(
        r"""years? months? weeks? days? hours? times people persons adults americans respondents
        participants women men children voters cases countries cultures stars? reasons? things
        dollars euros scenarios options factors points?_(?:higher|lower|above|below)
        (?:or|and)_(?:higher|above|more|up|over|lower|below|less|under) \+"""
    )
    + "(?![a-z])"
)
_IDENTIFIER = re.compile(
    r"\b"
    + any_of(
        """age aged section chapter article question item no step option scenario case part page verse
        figure point paragraph rule version gpt q in than least most over under above below after before
        since until every another to"""
    )
    + r" ?\Z"
)
_OTHER_QUANTITY = re.compile(
    rf"\b{any_of('confidence confident certainty severity harm risk clarity difficulty importance')}"
    r"(?: \w{1,12}){0,3}? ?(?::|=|\||-)? ?\Z"
)
_DENIED = re.compile(
    rf"(?:\b{any_of('not cannot never nobody no_one rather_than instead_of unable_to avoid')}|n't)"
    r"(?P<between>(?: [a-z']{1,15}){0,6}) ?\Z"
)
# What may stand between a label or a verb and its number.
_VAGUE = """a an the about around approximately approx roughly probably maybe perhaps likely only just solid
    strong firm clear definite low high number at in_the_range somewhere between from either rating score of
    as my closer entre zwischen un una eine? de est ist es"""
_AFTER_LABEL = any_of(f"{_VAGUE} would be is i say it give this therefore set rated clearly simply")
_AFTER_VERB = any_of(
    f"""{_VAGUE} it this that with for on towards? to moral like one honest me abortion divorce suicide
    euthanasia homosexuality prostitution"""
)
_FILLER = re.compile(rf"(?:\W|\b{_AFTER_LABEL}\b){{0,14}}")
_STRONG_VERB = re.compile(
    r"\b"
    + any_of(
        "rate rated rating grade score rank place put estimate mark judge assess evaluate position"
    )
    + r"\b(?P<gap>[^\d:]{0,90}):? ?\Z"
)
_WEAK_VERB = re.compile(
    r"\b"
    + any_of(
        """give gives giving assign says? choose pick select go going lean leaning settle vote opt answer
        deserves? gets? earns? be is it's that's stands? rates rating scores? call consider guess agree
        decide so hence thus therefore"""
    )
    + rf"\b(?: {_AFTER_VERB}){{0,8}} ?[(:~]? ?\Z"
)
_BECAUSE = re.compile(r"\b(?:because|since|in|when)\b")
# What may follow a number that is not said to be out of ten: no noun that it could count.
_CLOSED = re.compile(
    r"\W{0,9}\Z| ?[.,;:!?)(|=-]| "
    + any_of(
        r"""on because since as for given due with and but which meaning indicating ie overall
        points? here in(?!_\d) so or_so from_me though although based this it i the regarding when if at
        (?:is|would_be)_(?:my|the)_(?:rating|score|answer)"""
    )
    + r"\b| §"
)
_SEVERAL = re.compile(r" ?(?:,|;|&|/|and|or)? ?\d")
_ENUMERATED = re.compile(r"\d[ ,;&/-]{1,3}\Z")
_NOUN_AFTER = re.compile(r" (?!(?:this|as|is|thus|it's|that's|always|was)\b)[a-z]{2,20}s\b")
_BLANK = re.compile(r"\W{0,6}")
_KEYWORD_BEFORE = re.compile(KEYWORD.pattern + r" ?[,:(|-]? ?\Z")
_BETWEEN = any_of("ie meaning so which_is morally always never not completely")
_KEYWORD_AFTER = re.compile(rf" ?[,:(|=-]? ?(?:{_BETWEEN} ){{0,3}}{KEYWORD.pattern}")


def find_ratings(text: str, sentences: Sentences) -> list[Evidence[Rating]]:
    """Every rating in `text`, in order; years, ages, percentages and the like are none."""
    found = []
    for match in NUMBER.finditer(text):
        several = not match["base"] and _SEVERAL.match(text, match.end()) is not None
        if several and _ENUMERATED.search(text[max(0, match.start() - 4) : match.start()]):
            continue  # one of a row of numbers, as small models write when they break down
        place = sentences.place(*match.span())
        weight = _weight(match, place)
        if weight is not None:
            found.append(Evidence(ANYTHING if several else rating(match), weight))
    return found


def settle_rating(evidence: Sequence[Evidence[Rating]]) -> Rating | None:
    """The rating that spans what the plainest places give; None without any."""
    given = plainest(evidence)
    if not given:
        return None
    return Rating(min(item.low for item in given), max(item.high for item in given))


def _weight(match: re.Match[str], place: Place) -> Weight | None:
    """How plainly the number at `place` rates the matter; None if it does not."""
    if _COUNTED.match(place.after):
        return None
    label = find_label(place)
    leads = len(place.earlier) < 40 and _FILLER.fullmatch(place.earlier) is not None
    if label and _FILLER.fullmatch(label.between) and not _NOUN_AFTER.match(place.after):
        weight = label.weight
    elif match["base"] and not is_out_of_ten(match):
        return None
    elif is_out_of_ten(match) or _is_rated(place, leads=leads):
        weight = Weight.LABELLED if leads else Weight.STATED
    elif _BLANK.fullmatch(place.before) and _BLANK.fullmatch(place.after):
        weight = Weight.HINT
    else:
        return None
    if _is_not_ours(place):
        return None
    return Weight.FINAL if weight > Weight.HINT and is_correction(place) else weight


def _is_not_ours(place: Place) -> bool:
    """True if the number is another's, asked, an example, conditional, denied or of something else."""
    denied = _DENIED.search(place.clause)
    return (
        "?" in place.end
        or voice.is_hearsay(place.aside)
        or voice.is_example(place.before)
        or voice.is_hypothetical(place.aside)
        or _OTHER_QUANTITY.search(place.before) is not None
        or (denied is not None and not KEYWORD.search(denied["between"]))
    )


def _is_rated(place: Place, *, leads: bool) -> bool:
    """True if a number that does not say what it is out of is a rating by what surrounds it."""
    if not _CLOSED.match(place.after) and not _KEYWORD_AFTER.match(place.after):
        return False
    if leads:
        return True
    if _IDENTIFIER.search(place.before):
        return False
    strong = _STRONG_VERB.search(place.aside)
    return (
        _is_beside_keyword(place)
        or _WEAK_VERB.search(place.aside) is not None
        or (strong is not None and not _BECAUSE.search(strong["gap"]))
        or (is_correction(place) and _FILLER.fullmatch(place.clause) is not None)
    )


def _is_beside_keyword(place: Place) -> bool:
    """True for "unacceptable (2)" and "8 - acceptable"."""
    before = _KEYWORD_BEFORE.search(place.before)
    after = _BLANK.fullmatch(place.line) and _KEYWORD_AFTER.match(place.after)
    return bool(before or after)
