"""The long form: one row a sample, with a prompt of its own or one from the template."""

from collections.abc import Iterator, Mapping
from typing import Any

from evalpack.samples.build import build, render
from evalpack.samples.columns import Columns, assign, check_carried
from evalpack.samples.prompts import checked_messages, checked_prompt
from evalpack.samples.ratings import rating
from evalpack.samples.sample import Message, Sample
from evalpack.samples.templates import PromptTemplate
from evalpack.samples.values import BadValue, carried, label


class LongForm:
    """Turns rows into samples.

    Attributes:
        own: rows so far that brought their prompt.
        rendered: rows so far whose prompt came from the template.
        names: columns of the input seen so far.
    """

    name = "long"
    columns_left_out: tuple[str, ...] = ()

    def __init__(self, mapping: Mapping[str, str], template: PromptTemplate | None) -> None:
        self.template = template
        self.own = self.rendered = 0
        self.names: set[str] = set()
        self._mapping = mapping
        self._columns: dict[tuple[str, ...], Columns] = {}

    def size(self, raw: dict[str, Any]) -> int:
        """How many samples a row offers: one."""
        return 1

    def samples(self, row: int, raw: dict[str, Any]) -> Iterator[Sample]:
        """Yield the row's sample.

        Raises:
            BadValue: saying what is wrong with the row.
        """
        columns = self._assign(raw)
        values = {our: raw[their] for our, their in columns.fields.items()}
        kept = {our: carried(raw[their], our) for our, their in columns.carried}
        sample_id = label(values.get("sample_id"), "the id")
        if sample_id is None:
            raise BadValue(self._missing("sample_id", "an id (sample_id or id)", columns, raw))
        question = label(values.get("question"), "question")
        country = label(values.get("country"), "country")
        try:
            human_response = rating(values.get("human_response"))
        except BadValue as error:
            raise BadValue(
                f"human_response {error}; leave it empty if there is no answer"
            ) from None
        prompt, tells = self._own_prompt(values), False
        if prompt is None:
            if self.template is None:
                mend = "a prompt: add a column prompt or messages, or set samples.template"
                raise BadValue(self._missing("prompt", mend, columns, raw))
            self.rendered += 1
            known = {"sample_id": sample_id, "question": question, "country": country}
            prompt, tells = render(
                self.template, {**kept, **known, "human_response": human_response}
            )
        yield build(
            row=row,
            sample_id=sample_id,
            question=question,
            country=country,
            human_response=human_response,
            prompt=prompt,
            carried=kept,
            tells=tells,
        )

    def _own_prompt(self, values: dict[str, Any]) -> str | list[Message] | None:
        if "prompt" not in values and "messages" not in values:
            return None
        prompt, messages = values.get("prompt"), values.get("messages")
        if prompt not in (None, "") and messages not in (None, ""):
            raise BadValue("the row has both a prompt and messages: keep one of them")
        self.own += 1
        if messages not in (None, ""):
            return checked_messages(messages)
        return checked_prompt(prompt)

    def _assign(self, raw: dict[str, Any]) -> Columns:
        names = tuple(raw)
        columns = self._columns.get(names)
        if columns is None:
            columns = self._columns[names] = assign(names, self._mapping)
            check_carried([our for our, _ in columns.carried])
            self.names.update(names)
        return columns

    def _missing(self, field: str, what: str, columns: Columns, raw: dict[str, Any]) -> str:
        if field in columns.fields:
            return f"the column {columns.fields[field]!r} is empty here: every sample needs {what}"
        if field in self._mapping:
            return (
                f"there is no column {self._mapping[field]!r}, which samples.columns names as "
                f"{field}; there are {', '.join(raw)}"
            )
        there = ", ".join(raw)
        return f"the row lacks {what}; map another column in samples.columns (there are {there})"
