"""A whole run on this machine's GPUs: what the plan said, and what it took.

    python benchmarks/lineup.py --models llama3.2:1b llama3.2:3b llama3.1:8b --requests 2000

A project of its own, on random weights of the models' true shapes, is planned with `evalpack plan`
and run with `snakemake`; every answer has exactly `--output` tokens. Printed and written to
benchmarks/results/lineup-<gpu>.json: for each job the seconds of starting and generating, predicted
and measured, and the makespan. Weights are loaded from nowhere, so loading takes no time here.
"""

import argparse
import contextlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from checkpoints import write_checkpoint
from machine import hardware

from evalpack.clock import utc_now
from evalpack.models import Model
from evalpack.names import slug

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
RUN = "lineup"
TEXT = (
    "is it ever justifiable to claim benefits avoid a fare cheat on taxes accept a bribe divorce"
    " rate the act from one to ten say whether it is acceptable and give a brief reason for it"
)
PROMPT_WORDS = 90  # about 126 tokens with a chat template


def project(folder: Path, options: argparse.Namespace) -> None:
    """The workflow with models of random weights, and prompts of random words."""
    for name in ("Snakefile", "workflow", "profiles", "config", "envs"):
        source = REPOSITORY / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    entries = yaml.safe_load((REPOSITORY / "config" / "models.yaml").read_text("utf-8"))
    models = []
    for name in options.models:
        model = Model.from_mapping({**entries[name], "name": name})
        weights = folder / "weights" / model.slug
        write_checkpoint(weights, model, options.tokenizer.resolve())
        (weights / "model.safetensors").write_bytes(b"made up by load_format: dummy")
        dummy = {"load_format": "dummy"}
        models.append({"name": name, "path": f"weights/{model.slug}", "engine": dummy})
    draw = random.Random(0)
    rows = (
        {"id": f"s{i}", "prompt": f"{i}: {' '.join(draw.choices(TEXT.split(), k=PROMPT_WORDS))}"}
        for i in range(options.requests)
    )
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "samples.jsonl").write_text(lines, encoding="utf-8")
    config = {
        "run": RUN,
        "results": "results",
        "samples": {"path": "samples.jsonl", "template": None},
        "models": models,
        "sampling": {"temperature": 0.7, "max_tokens": options.output, "ignore_eos": True},
        "planning": {"max_model_len": 2048},
        "hardware": {"load_gb_per_second": 1e6},
    }
    (folder / "config" / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def evalpack(folder: Path, *arguments: str) -> str:
    """What the command says on stdout."""
    call = "import sys; from evalpack.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", call, *arguments]
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


def run(folder: Path, options: argparse.Namespace, log: Path) -> tuple[dict[str, Any], float]:
    """The plan, and the seconds that the workflow took, or after which it was stopped."""
    plan: dict[str, Any] = json.loads(
        evalpack(folder, "plan", "--json", "--gpus", str(options.gpus))
    )
    command = ["--cores", "all", "--resources", f"gpu={options.gpus}"]
    began = time.perf_counter()
    with log.open("w", encoding="utf-8") as out, contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(
            [sys.executable, "-m", "snakemake", *command],
            cwd=folder,
            check=True,
            stdout=out,
            stderr=subprocess.STDOUT,
            timeout=options.minutes * 60,
        )
    return plan, time.perf_counter() - began


def jobs(folder: Path, plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Predicted and measured seconds of every job that finished."""
    predicted = {row["slug"]: row for row in plan["models"]}
    found = []
    for path in sorted((folder / "results" / RUN / "measured").glob("*/*.json")):
        one = json.loads(path.read_text("utf-8"))
        said = predicted[path.parent.name]
        found.append(
            {
                "job": f"{path.parent.name} {path.stem}",
                "predicted": {key: said[key] for key in ("start", "generate", "batch")},
                "measured": {key: one[key] for key in ("start", "generate")},
                **{key: one[key] for key in ("gpus", "eager", "max_num_seqs", "requests")},
                **{key: one[key] for key in ("prompt_tokens", "output_tokens", "finished")},
            }
        )
    return sorted(found, key=lambda job: str(job["finished"]))


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--models", nargs="+", required=True, help="names of config/models.yaml")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--output", type=int, default=128, help="tokens of an answer")
    parser.add_argument("--gpus", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=60, help="after which it is stopped")
    tokenizer = REPOSITORY / "models" / "smollm2-135m-instruct"
    parser.add_argument("--tokenizer", type=Path, default=tokenizer, help="folder of a tokenizer")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    options = parser.parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    machine = hardware()
    name = slug(machine["gpu"]).lower()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        project(folder, options)
        plan, seconds = run(folder, options, folder / "workflow.log")
        rows = jobs(folder, plan)
    totals = plan["totals"]
    for row in rows:
        said, took = row["predicted"], row["measured"]
        print(
            f"{row['job']:24} start {said['start']:6.1f} / {took['start']:6.1f}"
            f"   generate {said['generate']:6.1f} / {took['generate']:6.1f}"
        )
    print(f"makespan {totals['makespan_seconds']:.0f} s predicted, {seconds:.0f} s with all stages")
    report = {
        "date": utc_now(),
        "hardware": machine,
        "gpus": options.gpus,
        "requests": options.requests,
        "weights": "random, loaded from nowhere",
        "plan": totals,
        "workflow_seconds": round(seconds, 1),
        "jobs": rows,
    }
    file = options.results / f"lineup-{name}.json"
    file.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
