"""Which columns of a wide survey file are questions, the country, or carried along."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from evalpack.samples.columns import assign, check_carried
from evalpack.samples.topics import TOPICS
from evalpack.samples.values import BadValue

COUNTRY, COUNTRY_ALPHA = "B_COUNTRY", "B_COUNTRY_ALPHA"
MOST_CARRIED = 32  # the survey's own files have hundreds of columns, repeated for 13 samples each
_CODE = re.compile(r"Q[0-9]+")
_ANSWER = re.compile(r"Q[0-9]+[A-Z]?(_.*)?")  # Q290A, Q82_AFRICANUNION: answers too


@dataclass(frozen=True, slots=True)
class Survey:
    """Which columns of a wide file are what.

    Attributes:
        questions: (code, column) of each question that becomes samples.
        country, country_alpha: the columns with the respondent's country, if any.
        carried: (name in the results, column) of what goes with every sample.
        left_out: the columns that are neither.
    """

    questions: tuple[tuple[str, str], ...]
    country: str | None
    country_alpha: str | None
    carried: tuple[tuple[str, str], ...]
    left_out: tuple[str, ...]


def is_survey(names: Iterable[str], mapping: Mapping[str, str]) -> bool:
    """True if a file with these columns has one row a respondent."""
    names = set(names)
    ours = (names - set(mapping.values())) | {
        our for our, their in mapping.items() if their in names
    }
    has_country = bool({COUNTRY, COUNTRY_ALPHA} & ours) or mapping.get("country") in names
    return has_country and not {"prompt", "messages"} & ours and bool(_asked(ours, mapping))


def survey_columns(names: Iterable[str], mapping: Mapping[str, str]) -> Survey:
    """Sort the columns of a wide file.

    The questions are Q176 to Q188, or exactly those that `mapping` names, such as {Q1: Q1}.

    Raises:
        BadValue: if a column has the name of a field that the survey form itself fills.
    """
    names = tuple(names)
    columns = assign(
        names, {"B_COUNTRY" if our == "country" else our: their for our, their in mapping.items()}
    )
    if filled := [
        our for our, their in columns.fields.items() if not (our == "sample_id" and their == "id")
    ]:
        raise BadValue(
            f"a file with one row a respondent ({COUNTRY}, Q176, ...) has a column {filled[0]!r}, "
            "which is made from the answers: rename it, or map it in samples.columns, such as "
            f"{{source_{filled[0]}: {filled[0]}}}"
        )
    theirs = dict(columns.carried) | ({"id": "id"} if columns.fields else {})
    asked = _asked(theirs, mapping)
    chosen = mapping.keys() & theirs.keys()
    rest = [our for our in theirs if our not in asked and our not in (COUNTRY, COUNTRY_ALPHA)]
    extra = [our for our in rest if our in chosen or not _ANSWER.fullmatch(our)]
    if len(extra) > MOST_CARRIED:
        extra = [our for our in extra if our in chosen or our == "D_INTERVIEW"]
    check_carried(extra)
    return Survey(
        questions=tuple((code, theirs[code]) for code in asked),
        country=theirs.get(COUNTRY),
        country_alpha=theirs.get(COUNTRY_ALPHA),
        carried=tuple((our, theirs[our]) for our in extra),
        left_out=tuple(theirs[our] for our in rest if our not in extra),
    )


def _asked(names: Iterable[str], mapping: Mapping[str, str]) -> list[str]:
    chosen = [our for our in mapping if _CODE.fullmatch(our)]
    names = set(names)
    return [code for code in chosen or TOPICS if code in names]
