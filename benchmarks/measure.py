"""Measure one point: evalpack's own engine, in a process of its own, on random weights."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import statistics
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from checkpoints import words
from machine import used_mib, wait_for_memory
from points import LONGEST, OUTPUT, SHORTEST, Point

from evalpack.engines.base import EngineSpec, Request
from evalpack.engines.vllm import VLLMEngine
from evalpack.models import Model
from evalpack.names import slug
from evalpack.plan.workload import CHAT_TOKENS


def measure(
    point: Point, model: Model, checkpoint: Path, logs: Path, seconds: float
) -> dict[str, Any]:
    """What the point took, in seconds, and what else it tells; at least `error` if it failed.

    Args:
        point: what to measure.
        model: its model.
        checkpoint: folder with config.json and tokenizer; the compilers' caches go beside it.
        logs: folder for vLLM's log.
        seconds: after these the process is ended, with its engine.
    """
    caches, result = checkpoint.parent / "caches", checkpoint.parent / "point.json"
    log = logs / f"{slug(point.name)}.log"
    logs.mkdir(parents=True, exist_ok=True)
    if point.fresh:
        shutil.rmtree(caches, ignore_errors=True)
    result.unlink(missing_ok=True)
    before = used_mib()
    arguments = (point, model, checkpoint, caches, log, result)
    child = multiprocessing.get_context("fork").Process(target=_run, args=arguments)
    child.start()
    child.join(seconds)
    if child.pid:
        with suppress(ProcessLookupError):  # nothing is left of a point that ended well
            os.killpg(child.pid, signal.SIGKILL)
    child.join()
    wait_for_memory(before)
    if not result.exists():
        return {"error": f"ended with {child.exitcode}; see {log.name}"}
    found: dict[str, Any] = json.loads(result.read_text("utf-8"))
    return found


def _run(
    point: Point, model: Model, checkpoint: Path, caches: Path, log: Path, result: Path
) -> None:
    """In the child: start the engine, answer everything, write the seconds to `result`."""
    os.setsid()  # one group with the engine's own processes
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    for variable in ("VLLM_CACHE_ROOT", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR"):
        os.environ[variable] = str(caches / variable.lower())
    requests = _requests(point.requests, words(checkpoint))
    spec = EngineSpec(
        model=model,
        weights=str(checkpoint),
        tensor_parallel_size=point.settings.tp,
        max_model_len=2048,
        engine_args={
            "load_format": "dummy",
            "max_num_seqs": point.settings.max_num_seqs,
            "enforce_eager": point.settings.mode == "eager",
            "gpu_memory_utilization": point.settings.utilization,
        },
    )
    began = time.perf_counter()
    engine = VLLMEngine(spec)
    measured: dict[str, Any] = {"start": time.perf_counter() - began}
    (inner,) = engine._engines
    steps = _time_steps(inner)
    cpu, began = _cpu_seconds(), time.perf_counter()
    answers, ends = [], []
    for answer in engine.generate(requests):
        answers.append(answer)
        ends.append(time.perf_counter() - began)
    seconds = time.perf_counter() - began
    tokens = sum(answer.completion_tokens or 0 for answer in answers)
    cache = inner.vllm_config.cache_config
    measured |= {
        "generate": seconds,
        "tokens_per_second": tokens / seconds,
        "prompt_tokens": statistics.fmean(a.prompt_tokens or 0 for a in answers),
        "output_tokens": tokens / len(answers),
        "steps": len(steps),
        "step": statistics.median(steps),
        "step_deciles": statistics.quantiles(steps, n=10),
        "answered_at": [ends[0], *statistics.quantiles(ends, n=4), ends[-1]],
        # of this process (tokenising, detokenising) and the engine's core, of the time in all
        "cpu_shares": [(b - a) / seconds for a, b in zip(cpu, _cpu_seconds(), strict=True)],
        "kv_tokens": (cache.num_gpu_blocks or 0) * cache.block_size,
        "failed": sum(answer.error is not None for answer in answers),
    }
    result.write_text(json.dumps(measured), encoding="utf-8")
    engine.close()


def _requests(number: int, vocabulary: list[str]) -> list[Request]:
    """Chats of random words, as long in the mean as evalpack's samples."""
    draw = random.Random(0)
    sampling = {"max_tokens": OUTPUT, "ignore_eos": True, "temperature": 0.7}
    requests = []
    for i in range(number):
        length = draw.randint(SHORTEST, LONGEST) - CHAT_TOKENS
        text = " " + " ".join(draw.choices(vocabulary, k=length))
        requests.append(Request(str(i), ({"role": "user", "content": text},), None, sampling))
    return requests


def _time_steps(inner: Any) -> list[float]:
    """Have the engine note the seconds from the end of each step to the end of the next."""
    step, steps, last = inner.step, [], time.perf_counter()

    def timed() -> Any:
        nonlocal last
        outputs = step()
        now = time.perf_counter()
        steps.append(now - last)
        last = now
        return outputs

    inner.step = timed
    return steps


def _cpu_seconds() -> tuple[float, float]:
    """CPU seconds so far of this process, and of its children."""
    me = psutil.Process()
    used = [process.cpu_times() for process in (me, *me.children(recursive=True))]
    seconds = [times.user + times.system for times in used]
    return seconds[0], sum(seconds[1:])
