"""Measurements of finished jobs, made up, and what a calibration makes of them."""

from dataclasses import replace
from typing import Any

from lineups import MODELS

from evalpack.plan.calibration import Calibration, Measurement, source_of
from evalpack.plan.hardware import GPUS
from evalpack.plan.start import Storage

EIGHT, SEVEN, HUGE = MODELS["llama3.1:8b"], MODELS["qwen2.5:7b"], MODELS["llama3.3-70b"]
A100 = GPUS["A100-80GB"]


def measured(job: str = "run/llama3.1-8b/1-of-1", **changes: Any) -> Measurement:
    values: dict[str, Any] = {
        "job": job,
        "model": EIGHT.name,
        "source": source_of(EIGHT),
        "gpu_type": A100.name,
        "gpus": 1,
        "mode": "eager",
        "engines": 1,
        "max_num_seqs": 256,
        "utilization": 0.9,
        "kv_bytes": None,
        "warm": False,
        "requests": 1000,
        "prompt_characters": 400_000,
        "prompt_tokens": 126_000,
        "longest_output": 0,
        "output_tokens": 60_000,
        "max_tokens": 512,
        "start": 40.0,
        "generate": 90.0,
        "finished": "2026-11-23T01:02:03.456Z",
    }
    return Measurement(**(values | changes))


def having(*ones: Measurement) -> Calibration:
    models = {source_of(model): model for model in (EIGHT, SEVEN, HUGE)}
    return Calibration(A100, Storage(), ones, models)


def predicted(one: Measurement) -> tuple[float, float]:
    said = having().predicted(one)
    assert said is not None
    return said


def slower(factor: float, **changes: Any) -> Measurement:
    """A job that took so many times as long as the cost model says."""
    one = measured(**changes)
    start, generate = predicted(one)
    return replace(one, start=factor * start, generate=factor * generate)
