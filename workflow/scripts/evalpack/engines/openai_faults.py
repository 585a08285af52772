"""What a server's refusals mean: for one request, for a while, or for the whole model."""

import json
import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from evalpack.engines.base import AnswerError, EngineFailure
from evalpack.engines.openai_endpoint import Endpoint

_EXCERPT = 300  # characters of a server's own words that an error repeats
_TOO_LONG = re.compile(
    r"context.?(length|window|size)|maximum context|max_model_len|reduce the length"
    r"|(prompt|input)( is| token count| length)?.{0,40}(too long|exceeds)|too many (input )?tokens",
    re.IGNORECASE,
)
_FILTERED = re.compile(r"content.?(filter|policy|management)|moderation", re.IGNORECASE)
_SPENT = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_UNSUPPORTED = {"unsupported_parameter", "unsupported_value", "unknown_parameter"}
_FILTERS = {400, 403, 422, 451}  # what filters answer with
_TRANSIENT = {408, 409, 425, 429}
_NO_SUCH_THING = {404, 405, 410, 501}


class RequestFault(Exception):
    """One request got no answer; `error.permanent` says whether sending it again could help."""

    def __init__(self, error: AnswerError, *, connected: bool = True) -> None:
        super().__init__(str(error))
        self.error = error
        self.connected = connected


@dataclass(frozen=True, slots=True)
class Complaint:
    """An HTTP error, in the server's own words; the key is taken out of them."""

    status: int
    message: str
    code: str
    location: str | None = None

    def __str__(self) -> str:
        return f"HTTP {self.status}: {self.message}" if self.message else f"HTTP {self.status}"


def read_complaint(response: httpx.Response, endpoint: Endpoint) -> Complaint:
    """What an unsuccessful response says, whichever of the usual forms its body has."""
    body: Any
    try:
        body = json.loads(response.content)
    except ValueError:
        body = response.text
    inner = body.get("error", body) if isinstance(body, dict) else body
    message, code = inner, ""
    if isinstance(inner, dict):
        message = inner.get("message") or inner.get("detail") or json.dumps(inner)
        code = str(inner.get("code") or inner.get("type") or "")
    words = " ".join(endpoint.redact(str(message)).split())
    short = words if len(words) <= _EXCERPT else f"{words[:_EXCERPT]}…"
    status = response.status_code
    if response.is_success:  # an error inside a 200: its own code counts
        status = int(code) if code.isdecimal() and 400 <= int(code) < 600 else 502
    location = response.headers.get("location")
    return Complaint(status, short, code, location and endpoint.redact(location))


def fault(
    complaint: Complaint, endpoint: Endpoint, url: str, names: Sequence[str]
) -> RequestFault | EngineFailure:
    """The exception that a complaint amounts to.

    Args:
        complaint: what the server said.
        endpoint: whom we asked.
        url: what we asked it for.
        names: the models that the server lists, for the person who named a wrong one.
    """
    status, words = complaint.status, f"{complaint.code} {complaint.message}"
    if status in _FILTERS and _FILTERED.search(words):
        return RequestFault(AnswerError("ContentFilter", str(complaint), permanent=True))
    if (advice := _advice(complaint, endpoint, names)) is not None:
        return EngineFailure(f"model `{endpoint.model.name}`: {url} answers {complaint}; {advice}")
    if status in _TRANSIENT or status >= 500:
        kind = {408: "Timeout", 429: "RateLimited"}.get(status, "ServerError")
        return RequestFault(AnswerError(kind, str(complaint), permanent=False))
    kind = "PromptTooLong" if _TOO_LONG.search(words) else "RefusedRequest"
    return RequestFault(AnswerError(kind, str(complaint), permanent=True))


def _advice(complaint: Complaint, endpoint: Endpoint, names: Sequence[str]) -> str | None:
    """What to check if every other request would meet the same complaint, else None."""
    status, code = complaint.status, complaint.code
    variable = endpoint.model.api_key_env
    rules = (
        (
            status in (401, 403),
            f"check the key in the environment variable {variable}"
            if variable
            else "set api_key_env to the name of the environment variable that holds the key",
        ),
        (
            status == 402 or code in _SPENT,
            "the account has no credit left; the same command continues once it has",
        ),
        (300 <= status < 400, f"put the address it points to ({complaint.location}) into base_url"),
        (
            status in _NO_SUCH_THING,
            "check base_url (it usually ends in /v1) and served_model"
            f" (`{endpoint.served_model}`); {name_list(names)}",
        ),
        (code in _UNSUPPORTED, "see max_tokens_field and omit_fields in docs/endpoints.md"),
        (
            "trust-request-chat-template" in complaint.message,
            "start the server with that option, or take chat_template out of the model's entry",
        ),
    )
    return next((advice for applies, advice in rules if applies), None)


def name_list(names: Sequence[str]) -> str:
    """The models that a server lists, as part of a sentence; the first ten by name."""
    if not names:
        return "the server lists no models"
    shown = ", ".join(f"`{name}`" for name in names[:10])
    return f"the server lists {shown}" + (f" and {len(names) - 10} more" if names[10:] else "")


def retry_after(response: httpx.Response) -> float:
    """Seconds that the server asks to be left alone; 0 if it does not."""
    value = response.headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return 0.0
    return max(seconds, 0.0) if math.isfinite(seconds) else 0.0
