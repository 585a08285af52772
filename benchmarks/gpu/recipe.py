"""What people run instead: three phases, small models first, and what they would take.

One process and engine a model, `generate()` in calls of 128, 256 or 512 prompts, max_num_seqs 128, 64
or 32 (small, medium, large), a model at a time on each group of GPUs, with a barrier between phases.
Measured are one small and one large model for a few waves of requests; all else is worked out:

    seconds of a model = import + start + waves · (seconds of a wave),    waves = requests / max_num_seqs

A wave of another model takes as many times longer as it has active parameters more, of those that were
measured the one nearest in size; starts grow by the weights likewise. Engines here capture CUDA
graphs and compile nothing, so that they start sooner than vLLM's own default: the recipe gains.
"""

import math
from collections.abc import Mapping
from typing import Any

from bench import Bench
from common import ENTRIES, Setting, checkpoint, prompts

from evalpack.models import Model
from evalpack.plan.settings import graph_arguments

CLASSES = {"small": (128, 128), "medium": (256, 64), "large": (512, 32)}
"""Prompts of a call, and max_num_seqs."""
SMALL, MEDIUM = 12e9, 50e9
"""Parameters up to which the recipe takes a model for small, or medium, by its name."""
BY_NAME = {"gpt-oss-120b": 117e9}
SAMPLED = {"small": "llama3.1:8b", "large": "llama3.3-70b"}
WAVES = {"small": 2, "large": 1}
"""Of each call that is measured."""


def measure(bench: Bench) -> dict[str, Any]:
    """A small model on one GPU, a large one on all, each in two calls."""
    if bench.options.tiny:
        return {"left_out": "its models need a GPU"}
    gpus = bench.options.gpus
    every = ",".join(map(str, range(gpus)))
    # The first start ever builds kernels, which the recipe would do once and not for each model.
    specs = [
        {
            **spec(bench.setting, kind, gpus, waves),
            "name": name,
            "environment": {"CUDA_VISIBLE_DEVICES": devices},
        }
        for (kind, waves), devices in zip(WAVES.items(), ("0", every), strict=True)
        for name in (f"{kind}, first ever", kind)
    ]
    found = bench.raw("recipe", specs, devices=every)
    if not all("calls" in found.get(kind, {}) for kind in WAVES):
        return {"gpus": gpus, "failed": found}
    return {"gpus": gpus, "waves": WAVES, "models": SAMPLED, "measured": found}


def size_class(name: str) -> str:
    """The recipe's class of a model."""
    parameters = BY_NAME.get(name, float(ENTRIES[name]["active_parameters"]))
    return "small" if parameters < SMALL else "medium" if parameters < MEDIUM else "large"


def width(kind: str, gpus: int) -> int:
    """GPUs that the recipe gives a model of a class: one, two, all."""
    return {"small": 1, "medium": min(2, gpus), "large": gpus}[kind]


def spec(setting: Setting, kind: str, gpus: int, waves: int) -> dict[str, Any]:
    """What `raw.py` runs to measure a class: two calls of so many waves."""
    name = SAMPLED[kind]
    _, sequences = CLASSES[kind]
    return {
        "name": kind,
        "arguments": {
            "model": str(checkpoint(setting, name)),
            "load_format": "dummy",
            "max_model_len": 2048,
            "dtype": "bfloat16",
            "tensor_parallel_size": width(kind, gpus),
            **graph_arguments(sequences),
            "max_num_seqs": sequences,
        },
        "prompts": prompts(2 * waves * sequences),
        "calls": waves * sequences,
        "sampling": {"temperature": 0.7, "max_tokens": 128, "ignore_eos": True},
    }


def extrapolate(
    names: list[str],
    requests: int,
    gpus: int,
    measured: Mapping[str, Any],
) -> dict[str, Any]:
    """Seconds of the whole lineup by the recipe.

    Args:
        names: the lineup.
        requests: of each model.
        gpus: there are.
        measured: what `measure` found, by class.
    """
    models: dict[str, Any] = {}
    for name in names:
        kind = size_class(name)
        base = "small" if kind == "small" else "large"
        found, sampled = measured[base], ENTRIES[SAMPLED[base]]
        wave = found["calls"][-1] / WAVES[base]  # the first call may meet cold kernels
        factor = _work(name) / float(sampled["active_parameters"])
        if base == "large":
            # Fewer GPUs share the work, and more sequences share a reading of the weights.
            factor *= width("large", gpus) / width(kind, gpus)
        _, sequences = CLASSES[kind]
        weights = float(ENTRIES[name]["weight_bytes"]) / float(sampled["weight_bytes"])
        start = found["start"] * (0.5 + 0.5 * weights)
        count = math.ceil(requests / sequences)
        models[name] = {
            "class": kind,
            "gpus": width(kind, gpus),
            "seconds": measured["import"] + start + count * wave * factor,
        }
    phases = {}
    for kind in CLASSES:
        seconds = [m["seconds"] for m in models.values() if m["class"] == kind]
        lanes = [0.0] * max(1, gpus // width(kind, gpus))
        for each in seconds:  # in the order of the lineup, whichever group is free first
            lanes[lanes.index(min(lanes))] += each
        phases[kind] = max(lanes)
    return {"models": models, "phases": phases, "seconds": sum(phases.values())}


def _work(name: str) -> float:
    """What a wave's time goes by: parameters that a token uses."""
    return float(Model.from_mapping({**ENTRIES[name], "name": name}).active_parameters or 0)
