"""Chat templates rendered as transformers does, without transformers."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import jinja2
import jinja2.ext
from jinja2 import nodes
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment


class TemplateFailure(Exception):
    """A template does not compile, or refuses a conversation."""


class Template:
    """A compiled chat template; it comes with a checkpoint, so it runs in Jinja's sandbox."""

    def __init__(
        self, text: str, special_tokens: Mapping[str, str], told: Mapping[str, Any]
    ) -> None:
        """Compile it.

        Args:
            text: the template.
            special_tokens: `bos_token` and its like.
            told: further arguments (`chat_template_kwargs`).

        Raises:
            TemplateFailure: if it does not compile.
        """
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
        )
        environment.filters["tojson"] = _tojson
        environment.globals["raise_exception"] = _refuse
        self._given = {**special_tokens, **told}
        try:
            self._template = environment.from_string(text)
        except jinja2.TemplateError as error:
            raise TemplateFailure(_line(error)) from None

    def render(self, messages: Iterable[Mapping[str, str]]) -> str:
        """The prompt of a conversation, up to where the model answers.

        Raises:
            TemplateFailure: if the template refuses it.
        """
        try:
            return self._template.render(
                messages=[dict(message) for message in messages],
                tools=None,
                documents=None,
                add_generation_prompt=True,
                **self._given,
            )
        except Exception as error:  # a template is somebody's code: it can raise anything
            raise TemplateFailure(_line(error)) from None


class _Generation(jinja2.ext.Extension):
    """`{% generation %}`, which marks what the model writes: rendered as it is."""

    tags: set[str] = {"generation"}  # noqa: RUF012  # as jinja2 has it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _tojson(value: Any, **arguments: Any) -> str:
    """JSON without escapes for HTML, which jinja2's own filter writes."""
    return json.dumps(value, **{"ensure_ascii": False, **arguments})


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
