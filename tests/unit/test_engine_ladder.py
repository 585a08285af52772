"""An engine that fails for want of memory is followed by one that needs less."""

import logging
import os

import pytest

from evalpack.engines.base import EngineFailure, EngineSpec
from evalpack.engines.failures import FailureLog, free_share, is_memory
from evalpack.engines.ladder import Kind, Step, easier
from evalpack.models import Model

OUT = EngineFailure("vLLM stopped: OutOfMemoryError: CUDA out of memory.", memory=True)
TAKEN_BY_OTHERS = EngineFailure(
    "vLLM could not load m: ValueError: Free memory on device cuda:0 (60.0/80.0 GiB) on startup is"
    " less than desired GPU memory utilization (0.9, 72.0 GiB).",
    memory=True,
)
PLANNED = {
    "max_num_seqs": 1024,
    "gpu_memory_utilization": 0.9,
    "kv_cache_memory_bytes": 40_000_000_000,
    "engines_per_gpu": 2,
    "enforce_eager": False,
    "compilation_config": {"mode": 0},
}


def planned(**changed: object) -> EngineSpec:
    given = {k: v for k, v in {**PLANNED, **changed}.items() if v is not None}
    return EngineSpec(Model("m", path="m"), "m", max_model_len=1792, engine_args=given)


def descend(spec: EngineSpec, failure: EngineFailure) -> list[Step]:
    """All steps, where each engine fails in the same way."""
    steps: list[Step] = []
    taken: list[Kind] = []
    while step := easier(spec, failure, taken):
        steps.append(step)
        taken.append(step.kind)
        spec = step.spec
    return steps


def test_each_step_keeps_those_before_it() -> None:
    fewer, less, eager = descend(planned(), OUT)
    assert fewer.spec.engine_args == {
        "max_num_seqs": 256,
        "max_num_batched_tokens": 2048,
        "gpu_memory_utilization": 0.9,
        "enforce_eager": False,
        "compilation_config": {"mode": 0},
    }
    assert less.spec.engine_args == {**fewer.spec.engine_args, "gpu_memory_utilization": 0.8}
    kept = {k: v for k, v in less.spec.engine_args.items() if k != "compilation_config"}
    assert eager.spec.engine_args == {**kept, "enforce_eager": True}
    assert fewer.what == "256 sequences at a time instead of 1024"


def test_what_others_have_is_left_to_them_first_and_the_other_steps_stay() -> None:
    steps = descend(planned(), TAKEN_BY_OTHERS)
    assert [step.kind for step in steps] == ["memory", "sequences", "eager"]
    assert steps[0].spec.engine_args["gpu_memory_utilization"] == 0.72  # 60 of 80, less a margin


def test_a_step_that_changes_nothing_is_left_out() -> None:
    few = planned(max_num_seqs=8, enforce_eager=True, compilation_config=None)
    assert [step.kind for step in descend(few, OUT)] == ["memory"]
    assert descend(planned(gpu_memory_utilization=0.35), OUT)[-1].kind == "eager"


def test_tokens_a_step_never_fall_below_a_request() -> None:
    spec = EngineSpec(Model("m", path="m"), "m", max_model_len=8192)
    step = easier(spec, OUT, [])
    assert step is not None
    assert step.spec.engine_args["max_num_batched_tokens"] == 8192


def test_another_failure_has_no_step() -> None:
    assert easier(planned(), EngineFailure("the weights are corrupt"), []) is None


@pytest.mark.parametrize(
    "reason",
    [
        "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
        str(TAKEN_BY_OTHERS),
        "ValueError: No available memory for the cache blocks. Try increasing gpu_memory_utilization",
        "AssertionError: Error in memory profiling. Initial free memory 70.1 GiB",
    ],
)
def test_words_of_a_memory_that_does_not_suffice(reason: str) -> None:
    assert is_memory(reason)


def test_other_words() -> None:
    assert not is_memory("SafetensorError: incomplete metadata, file not fully covered")
    assert free_share(str(OUT)) is None
    assert free_share(str(TAKEN_BY_OTHERS)) == 0.75


def test_a_forked_process_hands_over_what_killed_it() -> None:
    failures = FailureLog()
    logger = logging.getLogger("vllm.v1.engine.core")
    try:
        pid = os.fork()
        if pid == 0:
            error = MemoryError("CUDA out of memory.\nTried to allocate 2 GiB")
            logger.error("EngineCore failed to start.", exc_info=error)
            os._exit(0)
        os.waitpid(pid, 0)
        logger.error("said by ourselves", exc_info=ValueError("no"))
        assert failures.reasons() == ["MemoryError: CUDA out of memory. Tried to allocate 2 GiB"]
        assert failures.reasons() == []
    finally:
        failures.close()
        failures.close()
