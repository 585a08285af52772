"""Requests as OpenAI's API spells them, every sampling field stated.

A field that is left out is decided by the server: vLLM, for one, fills it from the checkpoint's
generation_config.json. So neutral values are sent as well.
"""

from collections.abc import Mapping
from typing import Any

from evalpack.engines.base import Request
from evalpack.engines.openai_endpoint import Endpoint
from evalpack.errors import UserError

# Neutral values: of fields that every server knows, and of those that vLLM adds. All are sent.
_OPENAI = {"temperature": 1.0, "top_p": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
_VLLM = {
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "min_tokens": 0,
    "ignore_eos": False,
    "stop_token_ids": [],
    "bad_words": [],
    "include_stop_str_in_output": False,
    "skip_special_tokens": True,
    "spaces_between_special_tokens": True,
}
# Fields without a neutral value, sent if set.
_OPENAI_OPTIONAL = {"seed": None, "stop": None, "logit_bias": None}
_VLLM_OPTIONAL = {
    "allowed_token_ids": None,
    "thinking_token_budget": None,
    "repetition_detection": None,
}
# SamplingParams that are never sent: they concern an engine in this process, or ask for what the
# records have no place for.
_UNSENT = {
    "n": 1,
    "detokenize": True,
    "logprobs": None,
    "prompt_logprobs": None,
    "structured_outputs": None,
}
_UNSET: tuple[Any, ...] = (None, [], (), {})
_KNOWN = {"max_tokens": None} | _OPENAI | _OPENAI_OPTIONAL | _VLLM | _VLLM_OPTIONAL | _UNSENT


class BodyWriter:
    """Writes the body of every request to one endpoint in one dialect (`openai` or `vllm`)."""

    def __init__(self, endpoint: Endpoint, dialect: str) -> None:
        """Check what does not change from request to request.

        Raises:
            UserError: if the dialect has no way to send the model's chat template.
        """
        self._endpoint = endpoint
        self._dialect = dialect
        self._template = self._template_fields()

    def write(self, request: Request) -> tuple[str, dict[str, Any]]:
        """Path below base_url, and the JSON body.

        Raises:
            UserError: if a sampling field is unknown, or cannot be sent to this server.
        """
        body: dict[str, Any] = {"model": self._endpoint.served_model}
        if request.messages is not None:
            path, limit = "chat/completions", self._endpoint.max_tokens_field
            body |= {"messages": [dict(message) for message in request.messages]} | self._template
        else:
            path, limit = "completions", "max_tokens"
            body["prompt"] = request.prompt
        body |= {"n": 1, "stream": False, limit: self._required(request.sampling, "max_tokens")}
        body |= self._sampling(request.sampling)
        self._omit(body)
        for name, value in self._endpoint.extra_body.items():
            if name in body:
                raise UserError(
                    f"{self._place}: extra_body.{name} is a field that evalpack sends itself;"
                    " set it under `sampling` or in the model's entry"
                )
            body[name] = value
        return path, body

    @property
    def _place(self) -> str:
        return f"model `{self._endpoint.model.name}`"

    def _sampling(self, sampling: Mapping[str, Any]) -> dict[str, Any]:
        neutral, optional = dict[str, Any](_OPENAI), dict[str, Any](_OPENAI_OPTIONAL)
        if self._dialect == "vllm":
            neutral |= _VLLM
            optional |= _VLLM_OPTIONAL
        for name, value in sampling.items():
            sent = name in neutral or name in optional or name == "max_tokens"
            if name not in _KNOWN or not (sent or _is_neutral(name, value)):
                raise UserError(f"{self._place}: sampling.{name} {_objection(name, value)}")
        self._required(sampling, "temperature")
        fields = {name: _value(sampling, name, default) for name, default in neutral.items()}
        fields |= {n: sampling[n] for n in optional if sampling.get(n) not in _UNSET}
        if self._dialect == "vllm":
            fields["return_token_ids"] = True
        return fields

    def _required(self, sampling: Mapping[str, Any], name: str) -> Any:
        if sampling.get(name) is None:
            raise UserError(
                f"{self._place}: sampling.{name} is not set, so the server would choose it"
            )
        return sampling[name]

    def _omit(self, body: dict[str, Any]) -> None:
        default = _OPENAI | {"n": 1, "stream": False}
        for name in self._endpoint.omit_fields:
            if body[name] != default[name]:
                raise UserError(
                    f"{self._place}: omit_fields holds `{name}`, but sampling sets it to"
                    f" {body[name]!r}; only {default[name]!r} can be left out"
                )
            del body[name]

    def _template_fields(self) -> dict[str, Any]:
        model = self._endpoint.model
        given = {
            "chat_template": model.chat_template,
            "chat_template_kwargs": dict(model.chat_template_kwargs),
        }
        fields = {name: value for name, value in given.items() if value}
        mend = (
            "take it out, or give the model a name that models.yaml does not describe and"
            f" `served_model: {self._endpoint.served_model}`"
        )
        if fields and model.format == "chat" and self._dialect != "vllm":
            raise UserError(
                f"{self._place}: {' and '.join(fields)} cannot be sent to this server, which has a"
                f" chat template of its own; {mend}"
            )
        if any(callable(value) for value in model.chat_template_kwargs.values()):
            raise UserError(
                f"{self._place}: chat_template_kwargs.strftime_now is a function to the template,"
                f" which cannot be sent to a server; {mend}"
            )
        return fields


def _value(sampling: Mapping[str, Any], name: str, neutral: Any) -> Any:
    value = sampling.get(name)
    return neutral if value is None else value


def _is_neutral(name: str, value: Any) -> bool:
    return value in _UNSET or value == _KNOWN[name] or (name, value) == ("top_k", -1)


def _objection(name: str, value: Any) -> str:
    """Why a sampling field cannot be sent, and what to do about it."""
    if name in _VLLM or name in _VLLM_OPTIONAL:
        return (
            "is known to vLLM, not to OpenAI's API; take it out, or set the engine argument"
            " `dialect: vllm` if the server understands it"
        )
    if name == "structured_outputs":
        return "is not supported by backend openai yet; take it out, or use backend vllm"
    if name == "n":
        return "must stay 1; several answers to one prompt are `n` of a condition"
    if name in _UNSENT:
        return f"cannot be {value!r} with backend openai; take it out"
    return f"is unknown; known are {', '.join(sorted(_KNOWN.keys() - _UNSENT.keys()))}"
