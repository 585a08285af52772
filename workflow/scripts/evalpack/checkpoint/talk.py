"""How a checkpoint is talked to: what its chat template takes, and what it must be told."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evalpack.checkpoint.source import Source, read_json
from evalpack.checkpoint.templates import Template, TemplateFailure
from evalpack.errors import UserError
from evalpack.models import FixedDate

_QUESTION, _REPLY, _SYSTEM = "Is this a question", "Indeed it was", "Be brief in all"
_USER = {"role": "user", "content": _QUESTION}
# `set date_string = "26 Jul 2024"`: what the template falls back to.
_DATE = re.compile(r"""set date_string = ["'](\d{1,2} \w{3} \d{4})["']""")
# gpt-oss's format: <|end|> closes each of several messages, and only these marks tell them apart.
_CHANNELS = "<|channel|>"


@dataclass(frozen=True, slots=True)
class Talk:
    """The keys of an entry that say how to talk to a model, where they differ from the default."""

    format: str = "chat"
    chat_template: str | None = None
    chat_template_kwargs: dict[str, Any] = field(default_factory=dict)
    system_role: str = "native"
    sampling: dict[str, Any] = field(default_factory=dict)


def read_talk(source: Source, config: Mapping[str, Any], today: str) -> Talk:
    """Try the chat template on small conversations.

    Args:
        source: the checkpoint.
        config: its config.json.
        today: the day (`YYYY-MM-DD`) that a template which asks for the date is told from now on.

    Raises:
        UserError: if the template cannot write a plain question.
    """
    tokenizer = read_json(source, "tokenizer_config.json") or {}
    text, own = _template(source, tokenizer)
    if text is None:
        return Talk(format="completion")
    kwargs = _kwargs(text, today)
    told = {**kwargs, "strftime_now": FixedDate(kwargs.get("strftime_now", today))}
    try:
        template = Template(text, _special_tokens(tokenizer), told)
        plain = template.render([_USER])
    except TemplateFailure as failure:
        raise UserError(
            f"{source.name}: its chat template fails on a plain question ({failure}); write the"
            " entry by hand"
        ) from None
    if _QUESTION not in plain:
        raise UserError(
            f"{source.name}: its chat template drops a question that is plain text; write the entry"
            " by hand, with a `chat_template` that takes it"
        )
    sampling: dict[str, Any] = {}
    if _CHANNELS in text:
        sampling["skip_special_tokens"] = False
    elif (end := _unstopped(source, config, tokenizer, template)) is not None:
        sampling["stop_token_ids"] = [end]
    return Talk(
        chat_template=None if own else text,
        chat_template_kwargs=kwargs,
        system_role="native" if _takes_system(template) else "merge",
        sampling=sampling,
    )


def _template(source: Source, tokenizer: Mapping[str, Any]) -> tuple[str | None, bool]:
    """The chat template, and whether the tokenizer finds it by itself."""
    if "chat_template.jinja" in source.files:
        return source.text("chat_template.jinja"), True
    found = tokenizer.get("chat_template")
    if isinstance(found, list):  # several by name
        found = {t.get("name"): t.get("template") for t in found}.get("default")
    if isinstance(found, str):
        return found, True
    beside = read_json(source, "chat_template.json") or {}  # of processors; tokenizers ignore it
    found = beside.get("chat_template")
    return (found, False) if isinstance(found, str) else (None, True)


def _kwargs(text: str, today: str) -> dict[str, Any]:
    kwargs: dict[str, Any] = {}
    if "enable_thinking" in text:  # answer at once, like the models that cannot think
        kwargs["enable_thinking"] = False
    if "reasoning_effort" in text:
        kwargs["reasoning_effort"] = "low"
    if "date_string" in text:
        fallback = _DATE.search(text)
        kwargs["date_string"] = fallback[1] if fallback else "26 Jul 2024"
    elif "strftime_now" in text:
        kwargs["strftime_now"] = today
    return kwargs


def _takes_system(template: Template) -> bool:
    try:
        written = template.render([{"role": "system", "content": _SYSTEM}, _USER])
    except TemplateFailure:
        return False
    return _SYSTEM in written and _QUESTION in written


def _special_tokens(tokenizer: Mapping[str, Any]) -> dict[str, str]:
    """`bos_token` and its like, which templates name."""
    tokens: dict[str, str] = {}
    for key, value in tokenizer.items():
        text = value.get("content") if isinstance(value, dict) else value
        if key.endswith("_token") and isinstance(text, str):
            tokens[key] = text
    return tokens


def _unstopped(
    source: Source, config: Mapping[str, Any], tokenizer: Mapping[str, Any], template: Template
) -> int | None:
    """The token that ends the model's turn, unless an engine stops there already.

    Gemma 2's is such a one: the tokenizer's end token is another, and answers would go on and on.
    """
    try:
        talk = template.render([_USER, {"role": "assistant", "content": _REPLY}, _USER])
    except TemplateFailure:
        return None
    after = talk.rpartition(_REPLY)[2].lstrip()
    eos = _special_tokens(tokenizer).get("eos_token")
    if eos and after.startswith(eos):
        return None
    ids = _special_ids(source, tokenizer)
    # The longest first, as one mark may begin like another.
    end = next((t for t in sorted(ids, key=len, reverse=True) if after.startswith(t)), None)
    generation = read_json(source, "generation_config.json") or config
    stops = generation.get("eos_token_id")
    known = stops if isinstance(stops, list) else [stops]
    return None if end is None or ids[end] in known else ids[end]


def _special_ids(source: Source, tokenizer: Mapping[str, Any]) -> dict[str, int]:
    added = tokenizer.get("added_tokens_decoder")
    if isinstance(added, dict):
        listed = [{**token, "id": number} for number, token in added.items()]
    else:
        listed = (read_json(source, "tokenizer.json") or {}).get("added_tokens") or []
    return {t["content"]: int(t["id"]) for t in listed if t.get("special") and t.get("content")}
