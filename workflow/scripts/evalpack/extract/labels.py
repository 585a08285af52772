"""Labels before an answer ("Rating:", "my final judgment is") and words that take one back."""

import re
from dataclasses import dataclass

from evalpack.extract.evidence import Weight
from evalpack.extract.sentences import Place
from evalpack.extract.wording import any_of

_KIND = any_of(
    r"""so and thus hence therefore my the your our final overall moral ethical personal honest brief
    short updated revised corrected adjusted ultimate total own numerical numeric justifiability
    acceptability q\d{1,3}"""
)
_NOUN = any_of(
    """ratings? score rate grade mark answer response verdict judge?ment number value justifiability
    acceptability assessment evaluation level choice decision result ranking conclusion opinion
    position view stance classification category label determination"""
)
# The same in other languages, for their numbers.
_FOREIGN_NOUN = any_of(
    """bewertung wertung einstufung punkte puntuaci[oó]n calificaci[oó]n valoraci[oó]n evaluaci[oó]n
    note évaluation valutazione punteggio voto avaliação nota pontuação оценка рейтинг التقييم تقييم
    الدرجة 评分 评级 分数 評価 評分 点数 평점 점수"""
)
_NAME = rf"(?P<name>(?:{_KIND} ){{0,4}}{_NOUN}|(?:[^\W\d_]{{1,12}} ){{0,2}}{_FOREIGN_NOUN})"
_OF = r"(?: (?!not\b|if\b)(?:[^\W\d_]{1,20}(?:['-][^\W\d_]{1,20})?|q\d{1,3}|§))"
_SCALE = r"(?: ?\(? ?§ ?\)?)?"
_LINK = rf"{_SCALE} ?(?:[:=|-]|[-=]>|{any_of('is are would_be will_be remains stands_at')}\b)"
_LABEL = re.compile(
    rf"(?:^|[,(;|:]|\b(?:and|so|but|with)\b)\W{{0,3}}{_NAME}(?! scale){_OF}{{0,10}}?{_LINK}"
    r"(?P<between>[^:=\n]{0,60})\Z"
)
_HEADING = re.compile(rf"\W{{0,3}}{_NAME}{_SCALE} ?[:=-]?\W{{0,3}}")
_FINAL = re.compile(any_of("final overall ultimate conclusion updated revised corrected adjusted"))
_BLANK = re.compile(r"\W{0,4}")

# The answer that follows replaces what was said before.
_CORRECTION = re.compile(
    r"(?:(?:^|[.!?\n,-] ?)(?:(?:oh|no|hmm|but|or),? ){0,2}(?:wait|actually|rather|no(?=,))|\b"
    + any_of(
        """correction on_second_thoughts? scratch_that i_mean make_that i_take_that_back settle_on
        let_me_(?:revise|reconsider|correct|rephrase|change)
        chang(?:e|ed|ing)_my_(?:mind|rating|answer) revis(?:e|ing)_(?:my|that|this|it)
        (?:up)?on_(?:further_|more_)?reflection
        after_(?:further_|more_)?(?:reflection|consideration|thought)"""
    )
    + r")(?!\w)(?P<between>[^\d]{0,80})\Z"
)


@dataclass(frozen=True, slots=True)
class Label:
    """A label in front of an answer.

    Attributes:
        weight: FINAL for "final rating", else LABELLED.
        between: what stands between the label and the answer.
    """

    weight: Weight
    between: str


def find_label(place: Place) -> Label | None:
    """The label that stands before `place` in its sentence, or alone on the line above it."""
    if found := _LABEL.search(place.before):
        return Label(_weight(found["name"]), found["between"])
    if _BLANK.fullmatch(place.line) and (found := _HEADING.fullmatch(place.above)):
        return Label(_weight(found["name"]), "")
    return None


def is_correction(place: Place, *, other: re.Pattern[str] | None = None) -> bool:
    """True if the answer at `place` takes back an earlier one ("no, wait: 5").

    Args:
        place: where the answer stands.
        other: an answer of this form between the correction and `place` has taken its role.
    """
    found = _CORRECTION.search(place.earlier)
    return found is not None and not (other is not None and other.search(found["between"]))


def _weight(name: str) -> Weight:
    return Weight.FINAL if _FINAL.search(name) else Weight.LABELLED
