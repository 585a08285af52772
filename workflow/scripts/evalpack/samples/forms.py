"""The two forms of a samples file, whatever its format: a row a sample, or a row a respondent."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from evalpack.samples.long import LongForm
from evalpack.samples.sample import LeftOut, Sample
from evalpack.samples.survey import SurveyForm
from evalpack.samples.survey_columns import is_survey
from evalpack.samples.templates import DEFAULT_TEMPLATE, PromptTemplate, load_template


class Form(Protocol):
    """Turns rows into samples, and remembers what it saw."""

    @property
    def name(self) -> str:
        """`long` or `survey`."""

    @property
    def template(self) -> PromptTemplate | None:
        """What renders the prompts that rows do not bring."""

    @property
    def own(self) -> int:
        """Rows that brought their prompt."""

    @property
    def rendered(self) -> int:
        """Samples whose prompt came from the template."""

    @property
    def names(self) -> set[str]:
        """All columns of the input so far."""

    @property
    def columns_left_out(self) -> tuple[str, ...]:
        """Those of them that go nowhere."""

    def size(self, raw: dict[str, Any]) -> int:
        """How many samples a row offers, answered or not."""

    def samples(self, row: int, raw: dict[str, Any]) -> Iterator[Sample | LeftOut]:
        """What a row offers; raises BadValue if something is wrong with it."""


def choose_form(
    names: Collection[str], columns: Mapping[str, str], template: str | None, templates: Path
) -> Form:
    """The form of a file whose first row has these column names.

    Raises:
        UserError: if the template is missing or broken.
    """
    if is_survey(names, columns):
        return SurveyForm(columns, load_template(template or DEFAULT_TEMPLATE, templates))
    return LongForm(columns, load_template(template, templates) if template else None)
