"""Which engine a model gets."""

import importlib
import os
from collections.abc import Iterable

from evalpack.engines.base import Engine, EngineSpec, Request

TEST_ENGINE = "EVALPACK_TEST_ENGINE"


def load_engine(spec: EngineSpec, requests: Iterable[Request] = ()) -> Engine:
    """Start the engine of `spec.model.backend`.

    `EVALPACK_TEST_ENGINE=module:Class` puts another in its place, for tests of all around it.

    Args:
        spec: what to load.
        requests: what will be asked; an engine may prepare for them while it loads.

    Raises:
        EngineFailure: if it cannot be started.
    """
    if name := os.environ.get(TEST_ENGINE):
        module, _, attribute = name.partition(":")
        engine: Engine = getattr(importlib.import_module(module), attribute)(spec)
        return engine
    if spec.model.backend == "openai":
        from evalpack.engines.openai import OpenAIEngine

        return OpenAIEngine(spec)
    from evalpack.engines.vllm import VLLMEngine

    return VLLMEngine(spec, requests)
