"""What jobs will import, imported."""

import contextlib
import importlib
import os
from collections.abc import Mapping
from typing import Any

from evalpack.atomic import read_json
from evalpack.engines.factory import TEST_ENGINE
from evalpack.engines.vllm import prepare_environment

_ALWAYS = (
    "evalpack.generate",
    "evalpack.pilot",
    "pandas",  # which pyarrow looks for when it meets its first list
    "pyarrow.ipc",
    "pyarrow.parquet",
    "pynvml",
)
_MODULES = (
    "vllm.v1.engine.llm_engine",
    "vllm.v1.engine.core",
    "vllm.tokenizers",
    "transformers.models.auto.tokenization_auto",
    "evalpack.engines.worker",
)
# On a GPU; they need not be there, or be called so, in every version.
_GPU_MODULES = (
    "vllm.v1.worker.gpu_model_runner",
    "vllm.v1.worker.gpu.model_runner",
    "vllm.v1.attention.backends.flash_attn",
    "vllm.model_executor.model_loader.dummy_loader",
    "vllm.model_executor.model_loader.default_loader",
)


def preload(plan: Mapping[str, Any]) -> None:
    """Import vLLM and the models of a plan.

    Raises:
        SystemExit: if that opened a device: forked jobs could not use it.
        ImportError: if vLLM is not there.
    """
    for module in _ALWAYS:
        importlib.import_module(module)
    if os.environ.get(TEST_ENGINE):
        return
    prepare_environment()
    for module in _MODULES:
        importlib.import_module(module)
    from vllm.platforms import current_platform

    if current_platform.is_cuda_alike():
        for module in _GPU_MODULES:
            with contextlib.suppress(ImportError):
                importlib.import_module(module)
    for architecture in _architectures(plan):
        _register(architecture)
    import torch

    if torch.cuda.is_initialized():
        raise SystemExit("importing vLLM opened a GPU; jobs start without the warm server")


def _architectures(plan: Mapping[str, Any]) -> set[str]:
    """The classes that config.json of the plan's models name, as far as they are on this machine."""
    from evalpack import weights
    from evalpack.models import Model

    found: set[str] = set()
    for job in plan.get("models", ()):
        with contextlib.suppress(Exception):
            folder = weights.at_hand(Model.from_mapping(job["model"]))
            config = read_json(folder / "config.json", default={}) if folder else {}
            found.update(config.get("architectures") or ())
    return found


def _register(architecture: str) -> None:
    """Import a model's class and name it to vLLM.

    What vLLM has not seen on this machine it inspects in a process of its own, which imports vLLM
    again: some 20 seconds, during which the first job's GPU would wait.
    """
    from vllm import ModelRegistry

    with contextlib.suppress(Exception):  # the engine will say what is wrong with it
        known = ModelRegistry.models.get(architecture)
        if known is not None and hasattr(known, "load_model_cls"):
            ModelRegistry.register_model(architecture, known.load_model_cls())
