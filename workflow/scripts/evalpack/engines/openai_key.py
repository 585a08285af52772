"""The key of an API: read from the environment, shown to nobody."""

import os
import re

import httpx

from evalpack.errors import UserError

_CONVENTIONAL = re.compile(r"[A-Z_][A-Z0-9_]*")
# Shorter ones are stand-ins such as `ollama` or `EMPTY`, words that an answer may well use.
_SECRET_LENGTH = 16


class ApiKey:
    """A secret that neither `repr` nor `str` tells."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "ApiKey(hidden)"

    @classmethod
    def from_environment(cls, variable: str, model: str) -> "ApiKey":
        """Read the key that `api_key_env` of `model` points to.

        Raises:
            UserError: if the variable is missing, empty, or holds what no HTTP header can carry.
        """
        # A name that looks unlike one may be the key itself, put in the wrong place.
        named = _CONVENTIONAL.fullmatch(variable) is not None
        shown = f"the environment variable {variable}" if named else "the variable it names"
        place = f"api_key_env of model `{model}`"
        value = os.environ.get(variable, "").strip()
        if not value:
            raise UserError(
                f"{place}: {shown} is not set; export it with the key,"
                " and put its name, never the key itself, into the configuration"
            )
        if not (value.isascii() and value.isprintable()) or " " in value:
            raise UserError(
                f"{place}: {shown} holds spaces, line breaks or non-ASCII characters;"
                " set it to the bare key"
            )
        return cls(value)

    def authorize(self, request: httpx.Request) -> httpx.Request:
        """Put the key into a request's headers; for httpx's `auth`."""
        request.headers["Authorization"] = f"Bearer {self._value}"
        return request

    def redact(self, text: str) -> str:
        """`text` (of an error) without the key; servers like to repeat it in a 401."""
        return text.replace(self._value, "[key]")

    def redact_answer(self, text: str) -> str:
        """`text` (of an answer) without the key, unless the key is short enough to be a word."""
        return self.redact(text) if len(self._value) >= _SECRET_LENGTH else text
