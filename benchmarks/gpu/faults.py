"""Provoked failures, and greedy answers against plain vLLM's: one workflow on one GPU.

Models of one lineup, each with a trouble of its own: a share of the memory that is not free, a
neighbour who takes 20 GiB as the engine loads, a KV cache that leaves nothing for activations, a job
that is killed while it generates. All their answers must come, each once. Beside them SmolLM2 on real
weights at temperature 0, whose answers are held against those of one `LLM.generate` call.
"""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from bench import Bench
from common import Project, Setting, dummy, last_token, phases, prompts, sampling_cost

from evalpack import leases
from evalpack.names import slug

SHARE, NEIGHBOUR, CACHE, KILLED, GREEDY = "share", "neighbour", "cache", "killed", "smollm2"
_GIB = 1 << 30
_HOLD = """
import sys, time, torch
small = torch.empty(100 << 20, dtype=torch.uint8, device="cuda")
print("ready", flush=True)
for line in sys.stdin:
    big = torch.empty(20 << 30, dtype=torch.uint8, device="cuda") if line == "take\\n" else None
    torch.cuda.empty_cache()  # or torch keeps what was given back
    print(line.strip(), torch.cuda.mem_get_info()[0] >> 20, flush=True)
"""


def measure(bench: Bench) -> dict[str, Any]:
    """The workflow with its troubles, then plain vLLM's greedy answers beside the pipeline's."""
    options = bench.options
    memory = 80 << 30 if options.tiny else leases.usable_devices()[0].memory_total
    work = project(bench.setting, options.smollm2, options.greedy, memory)
    told = run(work, bench.one, bench.left)
    specs = greedy_specs(options.smollm2, options.greedy)
    found = bench.raw("greedy", specs)
    return told | {"greedy": agreement(work, *(found.get(spec["name"], {}) for spec in specs))}


def project(setting: Setting, smollm2: Path, requests: int, memory: int) -> Project:
    """The lineup.

    Args:
        setting: where.
        smollm2: folder of the real model.
        requests: samples of all of them.
        memory: bytes of the GPU.
    """
    small = "smollm2:135m" if setting.tiny else "llama3.2:1b"
    medium = "smollm2:135m" if setting.tiny else "llama3.2:3b"
    cramped: dict[str, Any] = {
        "kv_cache_memory_bytes": memory - 6_430_000_000 - 2 * _GIB,
        "max_num_seqs": 4096,
        "max_num_batched_tokens": 65536,
        "enforce_eager": True,
    }
    if setting.tiny:
        cramped = {}
    models = [
        {**dummy(setting, small, gpu_memory_utilization=0.995), "name": SHARE, "base": small},
        {**dummy(setting, small, gpu_memory_utilization=0.9), "name": NEIGHBOUR, "base": small},
        {**dummy(setting, medium, **cramped), "name": CACHE, "base": medium},
        {**dummy(setting, medium), "name": KILLED, "base": medium},
        {
            "name": GREEDY,
            "base": "smollm2:135m",
            "path": str(smollm2),
            "sampling": {"temperature": 0.0, "ignore_eos": False},
        },
    ]
    return Project(setting, "faults", models, prompts(requests))


def run(work: Project, device: str, seconds: float) -> dict[str, Any]:
    """Run it with its troubles; what happened."""
    began = time.time()
    done = threading.Event()
    events: dict[str, float] = {}
    holder = (
        subprocess.Popen(
            [sys.executable, "-c", _HOLD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": device},
        )
        if not work.setting.tiny
        else None
    )
    if holder is not None and holder.stdout is not None:
        holder.stdout.readline()
    tasks: list[Callable[[], None]] = [lambda: _kill(work, done, events)]
    if holder is not None:
        tasks.append(lambda: _take(work, holder, done, events))
    for task in tasks:
        threading.Thread(target=task, daemon=True).start()
    outcome = work.run(1, seconds, device)
    done.set()
    if holder is not None:
        holder.kill()
    return {**outcome, **_report(work, events), "began": began}


def _take(work: Project, holder: Any, done: threading.Event, events: dict[str, float]) -> None:
    """Have the neighbour take its memory as soon as the job has the GPU, and give it back later."""
    while not done.is_set() and "leases GPU" not in work.log(NEIGHBOUR):
        time.sleep(0.01)
    for word, pause in (("take", 0.0), ("give", 12.0)):
        done.wait(pause)
        holder.stdin.write(f"{word}\n")
        holder.stdin.flush()
        events[word] = time.time()


def _kill(work: Project, done: threading.Event, events: dict[str, float]) -> None:
    """Kill the job some answers after it began to generate."""
    folder = work.run_folder / "telemetry" / KILLED
    while not done.is_set():
        running = list(folder.glob("*.arrows"))
        if running and ": generating, " in work.log(KILLED):
            done.wait(1.0)
            os.kill(int(running[0].stem.rpartition("-")[2]), signal.SIGKILL)
            events["kill"] = time.time()
            return
        time.sleep(0.05)


def _report(work: Project, events: Mapping[str, float]) -> dict[str, Any]:
    attempts = work.attempts()
    found: dict[str, Any] = {"events": dict(events), "sampling_cpu_share": sampling_cost(attempts)}
    for name in (SHARE, NEIGHBOUR, CACHE):
        lines = [line for line in work.log(name).splitlines() if "trying again with" in line]
        found[name] = {
            "steps": [line.rpartition("trying again with ")[2] for line in lines],
            "said": [line[:400] for line in lines],
            "phases": [phases(a) for a in attempts if a.job.slug == name],
        }
    killed = [a for a in attempts if a.job.slug == KILLED]
    if "kill" in events:
        after = [a for a in killed if (a.taken or 0.0) > events["kill"]]
        found[KILLED] = {
            "attempts": len(killed),
            "devices_again_after": after[0].taken - events["kill"]
            if after and after[0].taken
            else None,
            "first_token_after": after[0].first_token - events["kill"]
            if after and after[0].first_token
            else None,
        }
    responses = work.run_folder / "judge_ready/responses.parquet"
    if responses.exists():
        rows = pd.read_parquet(responses, columns=["model", "sample_id", "success"])
        counts = rows.groupby("model").agg(
            rows=("sample_id", "size"),
            samples=("sample_id", "nunique"),
            answered=("success", "sum"),
        )
        found["answers"] = counts.astype(int).to_dict("index")
    handovers = [
        b.first_token - last_token(a)
        for a, b in itertools.pairwise(attempts)
        if b.first_token and any(True for _ in a.spans("generating"))
    ]
    found["handovers"] = handovers
    return found


def greedy_specs(smollm2: Path, requests: int) -> list[dict[str, Any]]:
    """What `raw.py` runs for the same greedy answers: one call, and calls of 64."""
    return [
        {
            "name": name,
            "arguments": {"model": str(smollm2), "max_model_len": 2048, "enforce_eager": True},
            "prompts": prompts(requests),
            "calls": calls,
            "sampling": {"temperature": 0.0, "max_tokens": 128},
            "texts": True,
        }
        for name, calls in (("greedy", None), ("greedy in small batches", 64))
    ]


def agreement(work: Project, plain: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Share of equal answers, sample by sample: the pipeline's and plain vLLM's, plain's and plain's."""
    if "answers" not in plain or "answers" not in other:
        return {"failed": {"plain": plain, "other": other}}
    rows: dict[str, Any] = {}
    for file in (work.run_folder / "journal" / slug(GREEDY)).glob("*.jsonl"):
        for line in file.read_text("utf-8").splitlines():
            row = json.loads(line)
            rows[row["key"]] = row
    merged = pd.read_parquet(work.run_folder / "merged" / f"{slug(GREEDY)}.parquet")
    ours = {
        str(row["sample_id"]): (row["_text"], rows[row["_key"]]["token_ids"])
        for row in merged.to_dict("records")
    }
    theirs = {f"s{i}": answer for i, answer in enumerate(plain["answers"])}
    again = {f"s{i}": answer for i, answer in enumerate(other["answers"])}
    return {
        "samples": len(theirs),
        "pipeline_and_plain": _compare(ours, theirs),
        "plain_and_plain_in_smaller_batches": _compare(again, theirs),
    }


def _compare(ones: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    common = ones.keys() & others.keys()
    texts = sum(ones[key][0] == others[key][0] for key in common)
    differing = [
        next(
            (i for i, (a, b) in enumerate(zip(ones[k][1], others[k][1], strict=False)) if a != b),
            -1,
        )
        for k in common
        if list(ones[k][1]) != list(others[k][1])
    ]
    first = sorted(differing)
    return {
        "compared": len(common),
        "equal_tokens": 1 - len(differing) / max(1, len(common)),
        "equal_texts": texts / max(1, len(common)),
        "first_difference_at_token": first[len(first) // 2] if first else None,
    }
