"""What one row of the input becomes: a sample, or a counted reason why it is none."""

from typing import NamedTuple

Scalar = bool | int | float | str | None
Message = dict[str, str]  # {"role": system | user | assistant, "content": text}


class Sample(NamedTuple):
    """A checked sample; every text in it can be written as UTF-8."""

    row: int  # where it stands in the source, for errors found later
    sample_id: str
    question: str | None
    country: str | None
    human_response: int | None  # 1..10
    prompt: str | None  # None if messages are given
    messages: list[Message] | None
    prompt_digest: str
    label_leak: bool
    characters: int  # of the prompt, or of all messages together
    utf8: int  # bytes of the same
    carried: dict[str, Scalar]


class LeftOut(NamedTuple):
    """A candidate that is no sample, such as a question that a respondent did not answer."""

    reason: str
