"""Requests, and asking an engine for their answers."""

from collections.abc import Callable
from typing import Any

from evalpack.engines.base import Answer, Request
from evalpack.engines.openai import OpenAIEngine

KEY = "sk-planted-0123456789abcdef"
GREEDY = {"temperature": 0.0, "max_tokens": 16}

Start = Callable[..., OpenAIEngine]


def chat(key: str, words: str | None = None, **sampling: Any) -> Request:
    messages = ({"role": "user", "content": words or key},)
    return Request(key, messages, None, {**GREEDY, **sampling})  # type: ignore[arg-type]


def ask(engine: OpenAIEngine, *requests: Request) -> list[Answer]:
    return list(engine.generate(iter(requests)))


def ask_one(engine: OpenAIEngine, request: Request | None = None) -> Answer:
    (answer,) = ask(engine, request or chat("q"))
    return answer
