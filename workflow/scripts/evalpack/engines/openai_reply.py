"""What a server's answer says: the text, why it ended, how many tokens it took."""

from dataclasses import dataclass
from typing import Any

from evalpack.engines.base import AnswerError
from evalpack.engines.openai_faults import RequestFault


@dataclass(frozen=True, slots=True)
class Completion:
    """The one choice of a /chat/completions or /completions answer."""

    text: str
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    token_ids: list[int] | None


def read_completion(payload: Any) -> Completion:
    """Take an answer's JSON apart.

    Raises:
        RequestFault: if a filter withheld the answer, the server gave up on it, or the JSON is not
            that of an answer.
    """
    try:
        choice = payload["choices"][0]
        reason = choice.get("finish_reason")
        text = _chat_text(choice["message"], reason) if "message" in choice else choice["text"]
    except (KeyError, IndexError, TypeError, AttributeError):
        text = reason = None
    if not isinstance(text, str):
        error = AnswerError("BrokenAnswer", "the JSON holds no choice with a text", permanent=False)
        raise RequestFault(error)
    if reason == "content_filter":
        message = f"the server's content filter cut the answer off after {len(text)} characters"
        raise RequestFault(AnswerError("ContentFilter", message, permanent=True))
    if reason in ("error", "abort"):
        message = f"the server ended the request with `{reason}`"
        raise RequestFault(AnswerError("EngineAborted", message, permanent=False))
    usage, tokens = payload.get("usage"), choice.get("token_ids")
    counts = usage if isinstance(usage, dict) else {}
    return Completion(
        text=_well_formed(text),
        finish_reason=reason if isinstance(reason, str) else None,
        prompt_tokens=counts.get("prompt_tokens"),
        completion_tokens=counts.get("completion_tokens"),
        token_ids=tokens if isinstance(tokens, list) else None,
    )


def _chat_text(message: dict[str, Any], reason: str | None) -> Any:
    """The answer with its reasoning in front, as the model wrote it before the server split it.

    So a reasoning model reads the same from every backend. Reasoning that used up all tokens stays
    open: no answer was given.
    """
    answer = message.get("content")
    if answer is None:
        answer = message.get("refusal") or ""
    reasoning = message.get("reasoning") or message.get("reasoning_content")
    if not reasoning:
        return answer
    if not answer and reason == "length":
        return f"<think>{reasoning}"
    return f"<think>{reasoning}</think>\n{answer}"


def _well_formed(text: str) -> str:
    """`text` with half surrogate pairs (an emoji cut in two) replaced: UTF-8 cannot carry them."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
