"""Prompts and chat messages: what is accepted, and the digest that stands for them."""

import hashlib
import json
from collections.abc import Sequence

from evalpack.samples.sample import Message
from evalpack.samples.values import BadValue, shown, writable

ROLES = ("system", "user", "assistant")
_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


def prompt_digest(prompt: str | Sequence[Message]) -> str:
    """SHA-256 (hex) of the canonical JSON of a prompt or of a list of messages.

    Canonical: sorted keys, no spaces, UTF-8, nothing escaped that need not be.
    """
    return hashlib.sha256(_encode(prompt).encode()).hexdigest()


def checked_prompt(value: object, name: str = "prompt") -> str:
    """Return `value` unchanged if it can be a prompt.

    Raises:
        BadValue: if it is no text, has nothing but blanks, holds NUL or is not UTF-8.
    """
    if not isinstance(value, str):
        if value is None:
            raise BadValue(f"{name} is empty: every sample needs one")
        raise BadValue(f"{name} must be text, not {shown(value)}")
    if not value or value.isspace():
        raise BadValue(f"{name} is empty: every sample needs one")
    if "\0" in value:
        # Many a tokenizer and CSV reader would silently end the text here.
        raise BadValue(
            f"{name} holds a NUL character at position {value.index(chr(0)) + 1}: take it out"
        )
    return writable(value, name)


def checked_messages(value: object) -> list[Message]:
    """Return chat messages as a list of {"role", "content"}; JSON text (a CSV field) is parsed.

    Raises:
        BadValue: naming the message that is wrong.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise BadValue(f"messages is text but not JSON ({error})") from None
    if not isinstance(value, list) or not value:
        raise BadValue('messages must be a list such as [{"role": "user", "content": "..."}]')
    messages = [_checked_message(message, f"messages[{i}]") for i, message in enumerate(value)]
    if messages[-1]["role"] != "user":
        raise BadValue(
            f"the last message must come from the user, not from {messages[-1]['role']!r}"
        )
    return messages


def _checked_message(message: object, name: str) -> Message:
    # In Parquet, a key that only some messages have is null in all others.
    if not isinstance(message, dict) or {k for k, v in message.items() if v is not None} != {
        "role",
        "content",
    }:
        raise BadValue(f"{name} must hold exactly role and content, not {shown(message)}")
    if message["role"] not in ROLES:
        raise BadValue(
            f"{name} has the role {shown(message['role'])}; known are {', '.join(ROLES)}"
        )
    return {
        "role": message["role"],
        "content": checked_prompt(message["content"], f"{name}.content"),
    }
