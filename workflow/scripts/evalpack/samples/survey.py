"""The wide form of the World Values Survey: each answered question of a respondent is a sample."""

from collections.abc import Iterator, Mapping
from typing import Any

from evalpack.samples.build import build, render
from evalpack.samples.countries import alpha_3
from evalpack.samples.ratings import rating, whole_number
from evalpack.samples.sample import LeftOut, Sample, Scalar
from evalpack.samples.survey_columns import Survey, survey_columns
from evalpack.samples.templates import PromptTemplate
from evalpack.samples.values import BadValue, carried, label


class SurveyForm:
    """Turns respondents into samples; the prompts come from the template.

    Attributes:
        names: columns of the input seen so far.
        columns_left_out: those of them that are neither asked nor carried.
    """

    name = "survey"
    own = 0

    def __init__(self, mapping: Mapping[str, str], template: PromptTemplate) -> None:
        self.template = template
        self.rendered = 0
        self.names: set[str] = set()
        self.columns_left_out: tuple[str, ...] = ()
        self._mapping = mapping
        self._columns: dict[tuple[str, ...], Survey] = {}
        self._respondent = 0

    def size(self, raw: dict[str, Any]) -> int:
        """How many samples a respondent offers: one a question."""
        return len(self._sort(raw).questions)

    def samples(self, row: int, raw: dict[str, Any]) -> Iterator[Sample | LeftOut]:
        """Yield a sample for each answered question, and why there is none for each other.

        Raises:
            BadValue: naming the column whose value is no answer.
        """
        self._respondent += 1
        survey = self._sort(raw)
        kept = {our: carried(raw[their], our) for our, their in survey.carried}
        country = _country(survey, raw)
        for code, column in survey.questions:
            answer = _answer(code, raw[column])
            if isinstance(answer, LeftOut):
                yield answer
            else:
                yield self._sample(row, code, country, answer, kept)

    def _sample(
        self, row: int, code: str, country: str | None, answer: int, kept: dict[str, Scalar]
    ) -> Sample:
        self.rendered += 1
        sample_id = f"sample_{self._respondent:04d}_{code}"
        known = {"sample_id": sample_id, "question": code, "country": country}
        prompt, tells = render(self.template, {**kept, **known, "human_response": answer})
        return build(
            row=row,
            sample_id=sample_id,
            question=code,
            country=country,
            human_response=answer,
            prompt=prompt,
            carried=kept,
            tells=tells,
        )

    def _sort(self, raw: dict[str, Any]) -> Survey:
        names = tuple(raw)
        survey = self._columns.get(names)
        if survey is None:
            survey = self._columns[names] = survey_columns(names, self._mapping)
            self.names.update(names)
            self.columns_left_out = tuple(dict.fromkeys(self.columns_left_out + survey.left_out))
        return survey


def _answer(code: str, value: object) -> int | LeftOut:
    try:
        number = whole_number(value)
        if number is None:
            return LeftOut("no answer (blank)")
        if number < 0:
            return LeftOut(f"no answer (code {number})")
        rating(number)
    except BadValue as error:
        raise BadValue(f"{code} is {error}; a missing answer is blank or a negative code") from None
    return number


def _country(survey: Survey, raw: dict[str, Any]) -> str | None:
    """The respondent's country: the alpha-3 code if it is known, else the text as it is.

    A negative number is the survey's code for a missing country.
    """
    given = [
        text
        for column in (survey.country_alpha, survey.country)
        if column and (text := label(raw[column], column)) is not None and not text.startswith("-")
    ]
    codes = [alpha_3(text) for text in given]
    if len(given) == 2 and None not in codes and codes[0] != codes[1]:
        raise BadValue(f"the country is {given[0]!r} in one column and {given[1]!r} in the other")
    return next((code for code in codes if code), given[0] if given else None)
