"""A server on loopback and engines that ask it."""

from collections.abc import Iterator
from typing import Any

import pytest
from asking import Start
from scripted_server import ScriptedServer

from evalpack.engines.base import EngineSpec
from evalpack.engines.openai import OpenAIEngine
from evalpack.models import Model


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    running = ScriptedServer()
    yield running
    running.stop()


@pytest.fixture
def start(server: ScriptedServer) -> Iterator[Start]:
    """Start an engine on the server; keyword arguments of Model, or `args` for the engine's."""
    engines: list[OpenAIEngine] = []

    def start(args: dict[str, Any] | None = None, **model: Any) -> OpenAIEngine:
        entry = {"name": "m", "backend": "openai", "base_url": f"{server.root}/v1", **model}
        spec = EngineSpec(
            model=Model.from_mapping(entry),
            weights=None,
            engine_args={"backoff": 0.01, **(args or {})},
        )
        engines.append(OpenAIEngine(spec))
        return engines[-1]

    yield start
    for engine in engines:
        engine.close()
