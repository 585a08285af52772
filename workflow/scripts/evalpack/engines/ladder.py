"""When a GPU's memory does not suffice: the same engine with less, step by step.

Each step keeps what the ones before it took. Answers are the same on every step, up to the order
of floating-point sums; they only take longer.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from evalpack.engines.base import EngineFailure, EngineSpec
from evalpack.engines.failures import free_share

UTILIZATION = 0.9
"""vLLM's default share of the memory."""
_SEQUENCES = 256
"""What is quartered where nobody said how many sequences run together."""
_FEWEST = 8
_BATCHED = 2048
"""Tokens a step at most, on the step of fewer sequences: they decide what activations take."""
_MARGIN = 0.03
"""Share of the memory that is left beside what was free: others come and go."""
_LEAST = 0.3


Kind = Literal["sequences", "memory", "eager"]


@dataclass(frozen=True, slots=True)
class Step:
    """An easier engine, and what makes it easier."""

    kind: Kind
    spec: EngineSpec
    what: str


def easier(spec: EngineSpec, failure: EngineFailure, taken: Collection[Kind]) -> Step | None:
    """The next step down; None where there is none, or memory is not what failed.

    Each step is taken once, the fewer sequences first; where vLLM says that others have the memory,
    the smaller share of it.

    Args:
        spec: the engine that failed.
        failure: why.
        taken: the steps that led to it.
    """
    if not failure.memory:
        return None
    free = free_share(str(failure))
    steps = [_fewer_sequences(spec), _less_memory(spec, free), _eager(spec)]
    if free is not None:
        steps[0], steps[1] = steps[1], steps[0]
    return next((step for step in steps if step is not None and step.kind not in taken), None)


def _fewer_sequences(spec: EngineSpec) -> Step | None:
    now = int(spec.engine_args.get("max_num_seqs") or _SEQUENCES)
    fewer = max(_FEWEST, now // 4)
    if fewer >= now:
        return None
    tokens = max(fewer, _BATCHED, int(spec.max_model_len or 0))
    changed = {"max_num_seqs": fewer, "max_num_batched_tokens": tokens}
    # Measured anew: what the plan had worked out did not hold.
    step = _with(_without(spec, "kv_cache_memory_bytes", "engines_per_gpu"), changed)
    return Step("sequences", step, f"{fewer} sequences at a time instead of {now}")


def _less_memory(spec: EngineSpec, free: float | None) -> Step | None:
    now = float(spec.engine_args.get("gpu_memory_utilization", UTILIZATION))
    less = round(min(now - 0.1, (free if free is not None else now) - _MARGIN), 3)
    if less < _LEAST:
        return None
    step = _with(
        _without(spec, "kv_cache_memory_bytes", "engines_per_gpu"),
        {"gpu_memory_utilization": less},
    )
    return Step("memory", step, f"{less:.0%} of the GPU's memory instead of {now:.0%}")


def _eager(spec: EngineSpec) -> Step | None:
    if spec.engine_args.get("enforce_eager"):
        return None
    step = _with(_without(spec, "compilation_config"), {"enforce_eager": True})
    return Step("eager", step, "no CUDA graphs")


def _with(spec: EngineSpec, changed: Mapping[str, Any]) -> EngineSpec:
    return replace(spec, engine_args={**spec.engine_args, **changed})


def _without(spec: EngineSpec, *names: str) -> EngineSpec:
    kept = {key: value for key, value in spec.engine_args.items() if key not in names}
    return replace(spec, engine_args=kept)
