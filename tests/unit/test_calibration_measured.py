"""What a job measures of itself: how it ran, and from when its start is counted."""

import time
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from measurements import EIGHT

from evalpack.asks import Ask
from evalpack.atomic import read_json
from evalpack.engines.base import Answer
from evalpack.jobs import Asking, ModelJob
from evalpack.measuring import Stopwatch
from evalpack.plan.calibration import SCHEMA_VERSION, Measurement
from evalpack.plan.settings import graph_arguments

ASKING = Asking("default", {"temperature": 0.0, "max_tokens": 64})
ENGINE: Any = SimpleNamespace(env_id="engine 1", evaluation_type="fake")
ASK: Any = SimpleNamespace(key="k", prompt="Is it?", messages=None)
ANSWER = Answer("k", "Yes.", "stop", 8, 2, 0.1, "2026-11-23T01:02:03.456Z")


def measure(path: Path, watch: Stopwatch) -> Measurement:
    """A job that waits a moment for its GPU and answers one request."""
    watch.waiting()
    time.sleep(0.2)
    watch.leased()
    watch.loaded(ENGINE)
    asked: Ask = watch.asked(ASK)
    assert asked is ASK
    watch.answered(ANSWER)
    watch.write(path, "run/m/1-of-1")
    content = read_json(path)
    assert content.pop("schema_version") == SCHEMA_VERSION
    one = Measurement(**content)
    assert asdict(one) == content
    return one


def job(**engine_args: Any) -> ModelJob:
    return ModelJob(EIGHT, (ASKING,), gpus=1, engine_args=engine_args)


def test_a_warm_job_is_as_old_as_it_was_asked_for(tmp_path: Path) -> None:
    asked_for = time.time() - 5
    by_name = Stopwatch(job(), "H100-80GB", began=asked_for)
    later = Stopwatch(job(), "H100-80GB")
    later.began(asked_for)
    for number, watch in enumerate((by_name, later)):
        one = measure(tmp_path / f"{number}.json", watch)
        assert one.warm
        assert one.start == pytest.approx(5, abs=0.5)


def test_a_cold_job_is_as_old_as_its_process(tmp_path: Path) -> None:
    one = measure(tmp_path / "1.json", Stopwatch(job(), "H100-80GB"))
    assert not one.warm
    assert one.start > 0


def test_it_tells_how_its_engines_ran(tmp_path: Path) -> None:
    graphs = graph_arguments(512) | {"engines_per_gpu": 2, "kv_cache_memory_bytes": 5_000_000_000}
    one = measure(tmp_path / "1.json", Stopwatch(job(**graphs, max_num_seqs=512), "H100-80GB"))
    assert (one.mode, one.engines, one.kv_bytes) == ("graphs", 2, 5_000_000_000)
    assert (one.settings.mode, one.settings.engines, one.settings.max_num_seqs) == (
        "graphs",
        2,
        512,
    )
    plain = measure(tmp_path / "2.json", Stopwatch(job(enforce_eager=True), "H100-80GB"))
    assert (plain.mode, plain.engines, plain.kv_bytes) == ("eager", 1, None)
