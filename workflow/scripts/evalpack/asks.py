"""What each model is asked: samples × conditions × draws, with the key of every answer."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from evalpack import keys
from evalpack.engines.base import AnswerError, Message, Request
from evalpack.jobs import Asking, ModelJob
from evalpack.samples.build import render
from evalpack.samples.leak import gives_away
from evalpack.samples.templates import PromptTemplate, compile_template
from evalpack.samples.values import BadValue

_BATCH = 1024


@dataclass(frozen=True, slots=True)
class Ask:
    """One row of a model's answers: a sample under a condition, drawn once."""

    sample: Mapping[str, Any]
    condition: str
    draw: int
    key: str
    messages: tuple[Message, ...] | None
    prompt: str | None
    sampling: Mapping[str, Any]
    shown: str
    """The question as a person reads it: the prompt, or the last turn of the user."""
    label_leak: bool
    """Whether the question gives away the human's answer."""
    refusal: AnswerError | None = None

    def request(self) -> Request:
        """The generation that answers it."""
        return Request(self.key, self.messages, self.prompt, self.sampling)


def asks(samples: Path, job: ModelJob, settings: str) -> Iterator[Ask]:
    """All rows of a model, sample by sample in the order of the file, in bounded memory.

    Args:
        samples: samples.parquet.
        job: the model's job.
        settings: the model's settings digest, which the keys are made from.
    """
    templates = {
        asking.name: compile_template(f"of condition {asking.name}", asking.template)
        for asking in job.askings
        if asking.template is not None
    }
    with pq.ParquetFile(samples) as file:
        for batch in file.iter_batches(_BATCH):
            for sample in batch.to_pylist():
                limits: dict[str, int] = {}
                for asking in job.askings:
                    template = templates.get(asking.name)
                    yield from _of_sample(sample, asking, template, job, settings, limits)


def _of_sample(
    sample: dict[str, Any],
    asking: Asking,
    template: PromptTemplate | None,
    job: ModelJob,
    settings: str,
    limits: dict[str, int],
) -> Iterator[Ask]:
    chat: list[Message] | None = sample["messages"]
    text: str | None = sample["prompt"]
    unrendered, leak = None, bool(sample["label_leak"])
    if template is not None:
        try:
            rendered, tells = render(template, sample)
            chat, text = None, rendered
            leak = tells or gives_away(rendered, sample["human_response"])
        except BadValue as error:
            unrendered = AnswerError("TemplateError", str(error), permanent=True)
    shown = text if text is not None else chat[-1]["content"] if chat else ""
    messages, prompt, refusal = _rendered(chat, text, asking.system_prompt, job)
    refusal = unrendered or refusal
    for draw in range(asking.n):
        sampling = _sampling(asking, draw)
        key = keys.row_key(
            settings,
            messages=messages,
            prompt=prompt,
            sampling=sampling,
            draw=draw,
            sample_id=sample["sample_id"],
        )
        if refusal is not None:  # no answer to share, and asked anew once the cause is mended
            key = keys.digest([sample["sample_id"], asking.name, draw, str(refusal)])
        elif limits.setdefault(key, asking.max_tokens) != asking.max_tokens:
            # Another condition asks the same under another limit: each has an answer of its own.
            key = keys.digest([key, asking.max_tokens])
        yield Ask(
            sample=sample,
            condition=asking.name,
            draw=draw,
            key=key,
            messages=messages,
            prompt=prompt,
            sampling=sampling,
            shown=shown,
            label_leak=leak,
            refusal=refusal,
        )


def _sampling(asking: Asking, draw: int) -> Mapping[str, Any]:
    """The condition's sampling; a seed counts up, or all draws would be one answer."""
    if "seed" not in asking.sampling:
        return asking.sampling
    return {**asking.sampling, "seed": asking.sampling["seed"] + draw}


def _rendered(
    chat: list[Message] | None, text: str | None, system: str | None, job: ModelJob
) -> tuple[tuple[Message, ...] | None, str | None, AnswerError | None]:
    """Messages (chat) or prompt (completion) as the model gets them, or why it cannot."""
    turns: list[Message] = (
        list(chat) if chat is not None else [{"role": "user", "content": text or ""}]
    )
    if system:
        turns.insert(0, {"role": "system", "content": system})
    if job.model.format == "completion":
        if any(turn["role"] == "assistant" for turn in turns):
            why = "a completion model has no turns; give the sample a prompt, not a chat"
            return None, "", AnswerError("UnsupportedChat", why, permanent=True)
        return None, "\n\n".join(turn["content"] for turn in turns), None
    if turns[0]["role"] == "system" and job.model.system_role == "error":
        why = f"{job.model.name} has no system role (system_role: error in its entry)"
        return tuple(turns), None, AnswerError("UnsupportedChat", why, permanent=True)
    if job.model.system_role == "merge":
        turns = _merged(turns)
    return tuple(turns), None, None


def _merged(turns: list[Message]) -> list[Message]:
    """The chat with its system prompts in front of what the user says first."""
    system = [turn["content"] for turn in turns if turn["role"] == "system"]
    rest = [turn for turn in turns if turn["role"] != "system"]
    first = next(i for i, turn in enumerate(rest) if turn["role"] == "user")
    said = "\n\n".join([*system, rest[first]["content"]])
    return [*rest[:first], {"role": "user", "content": said}, *rest[first + 1 :]]
