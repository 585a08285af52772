"""How long planning takes, and a dry run of many jobs: what a user waits for before anything runs.

    python benchmarks/planning_speed.py                  # about two minutes
    python benchmarks/planning_speed.py --jobs 1000

Planned by list scheduling, as in a dry run: the models of config/models.yaml on four GPUs, and 300
models on 64. Then `snakemake -n` on a configuration of 100 models whose shards are 10,000 jobs, in a
process of its own: seconds, and memory at the peak. Results go to
benchmarks/results/planning-speed.json.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from machine import hardware

from evalpack.clock import utc_now
from evalpack.lineup import load_models
from evalpack.models import Model
from evalpack.plan.hardware import GPUS
from evalpack.plan.make import make_plan
from evalpack.plan.plan import Ask
from evalpack.plan.pool import Pool
from evalpack.plan.workload import Workload

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
AIMS = {"46 models": 0.5, "300 models": 5.0, "dry_run_seconds": 12.0, "dry_run_mb": 350.0}
WORK = Workload(5000, 126, 128, 2048, 5000)
SAMPLES = 5000
DRY_RUN_MODELS = 100


def planned(count: int, gpus: int, repeats: int) -> dict[str, Any]:
    """Seconds to plan so many models on so many A100-80GB; the best of some times."""
    entries = load_models(REPOSITORY / "config" / "models.yaml")
    known = [Model.from_mapping({**entry, "name": name}) for name, entry in entries.items()]
    models = [replace(known[i % len(known)], name=f"{i}") for i in range(count)]
    asks = [Ask(model, WORK, 8192) for model in models]
    pool = Pool(GPUS["A100-80GB"], gpus)
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        plan = make_plan(asks, pool, {})
        times.append(time.perf_counter() - began)
    return {
        "models": count,
        "gpus": gpus,
        "seconds": min(times),
        "slowest_seconds": max(times),
        "shard_jobs": sum(model.shards for model in plan.models),
        "above_lower_bound": plan.schedule.makespan / plan.lower_bound - 1,
    }


def dry_run(jobs: int) -> dict[str, Any]:
    """`snakemake -n` on so many generate jobs: its seconds, its memory at the peak."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _project(folder, jobs)
        output = folder / "dry-run.txt"
        with output.open("w") as out:
            began = time.perf_counter()
            process = subprocess.Popen(
                [sys.executable, "-m", "snakemake", "--dry-run"],
                cwd=folder,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - began
            process.returncode = os.waitstatus_to_exitcode(status)
        text = output.read_text("utf-8")
        if process.returncode or "\ngenerate " not in text:
            raise SystemExit(text[-2000:])
        counted = next(line for line in text.splitlines() if line.startswith("generate "))
        return {
            "shard_jobs": int(counted.split()[1]),
            "models": DRY_RUN_MODELS,
            "seconds": seconds,
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "peak_mb": usage.ru_maxrss * 1024 / 1e6,
        }


def _project(folder: Path, jobs: int) -> None:
    """A user's folder: the workflow, samples, and models whose weights (stand-ins) are there."""
    for name in ("Snakefile", "workflow", "profiles", "config"):
        source = REPOSITORY / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    weights = folder / "models" / "stand-in"
    weights.mkdir(parents=True)
    (weights / "config.json").write_text("{}")
    (weights / "model.safetensors").write_bytes(b"weights")
    known = sorted(load_models(REPOSITORY / "config" / "models.yaml"))
    models = [
        {
            "name": f"model-{i:03d}",
            "base": known[i % len(known)],
            "path": "models/stand-in",
            "shards": jobs // DRY_RUN_MODELS,
        }
        for i in range(DRY_RUN_MODELS)
    ]
    config = {
        "run": "speed",
        "results": "results",
        "samples": {"path": "samples.jsonl"},
        "models": models,
        "hardware": {"gpus": 64, "gpu_type": "A100-80GB"},
        "sampling": {"temperature": 0.0, "max_tokens": 128},
    }
    (folder / "config" / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    rows = ({"id": f"s{i}", "prompt": f"Is act {i} justifiable?"} for i in range(SAMPLES))
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "samples.jsonl").write_text(lines, encoding="utf-8")


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--jobs", type=int, default=10_000, help="of the dry run; default 10,000")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder of results")
    options = parser.parse_args()
    report: dict[str, Any] = {
        "date": utc_now(),
        "hardware": hardware(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("snakemake", "pulp", "numpy")},
        },
        "aims": AIMS,
        "planning": [planned(46, 4, 5), planned(300, 64, 3)],
        "dry_run": dry_run(options.jobs),
    }
    for one in report["planning"]:
        print(
            f"{one['models']} models on {one['gpus']} GPUs: {one['seconds']:.2f} s,"
            f" {one['above_lower_bound']:.1%} above the lower bound"
        )
    dry = report["dry_run"]
    print(
        f"snakemake -n, {dry['shard_jobs']:,} shard jobs: {dry['seconds']:.1f} s"
        f" ({dry['cpu_seconds']:.1f} s of CPU), {dry['peak_mb']:.0f} MB"
    )
    options.results.mkdir(parents=True, exist_ok=True)
    rounded = json.loads(json.dumps(report), parse_float=lambda text: round(float(text), 4))
    file = options.results / "planning-speed.json"
    file.write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
