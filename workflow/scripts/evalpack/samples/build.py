"""The last step of every form: a prompt, its digest, and whether it gives its label away."""

from collections.abc import Mapping

from evalpack.samples.leak import gives_away
from evalpack.samples.prompts import checked_prompt, prompt_digest
from evalpack.samples.ratings import HIGHEST, LOWEST
from evalpack.samples.sample import Message, Sample, Scalar
from evalpack.samples.templates import PromptTemplate


def build(
    *,
    row: int,
    sample_id: str,
    question: str | None,
    country: str | None,
    human_response: int | None,
    prompt: str | list[Message],
    carried: dict[str, Scalar],
    tells: bool = False,
) -> Sample:
    """A sample out of checked parts; `tells` if its template is known to tell the answer."""
    if isinstance(prompt, str):
        text, messages, contents = prompt, None, prompt
    else:
        text, messages, contents = None, prompt, "\n".join(m["content"] for m in prompt)
    return Sample(
        row=row,
        sample_id=sample_id,
        question=question,
        country=country,
        human_response=human_response,
        prompt=text,
        messages=messages,
        prompt_digest=prompt_digest(prompt),
        label_leak=tells or gives_away(contents, human_response),
        characters=len(contents),
        utf8=len(contents.encode()),
        carried=carried,
    )


def render(template: PromptTemplate, columns: Mapping[str, object]) -> tuple[str, bool]:
    """The prompt for these columns, and whether it depends on what the person answered.

    Raises:
        BadValue: if the template cannot be rendered, or renders to nothing.
    """
    prompt = checked_prompt(template.render(columns), f"the prompt from template {template.name}")
    answer = columns.get("human_response")
    if "human_response" not in template.variables or not isinstance(answer, int):
        return prompt, False
    opposite = (
        LOWEST + HIGHEST - answer
    )  # never the answer itself, always on the other half of the scale
    return prompt, prompt != template.render({**columns, "human_response": opposite})
