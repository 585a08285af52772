"""Which engine a model gets."""

import importlib
import os

from evalpack.engines.base import Engine, EngineSpec

TEST_ENGINE = "EVALPACK_TEST_ENGINE"


def load_engine(spec: EngineSpec) -> Engine:
    """Start the engine of `spec.model.backend`.

    `EVALPACK_TEST_ENGINE=module:Class` puts another in its place, for tests of all around it.

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

    return VLLMEngine(spec)
