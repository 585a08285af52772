"""A user's project: the workflow with a configuration of its own, run by the real Snakemake."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

REPO = Path(__file__).resolve().parents[2]
COMMAND = ["--cores", "all", "--resources", "gpu=4"]


class Project:
    """A folder with the workflow, ten questions and two small models (whose weights are stand-ins)."""

    def __init__(self, folder: Path, *, fake: bool = True) -> None:
        self.folder = folder
        for name in ("Snakefile", "workflow", "profiles", "config", "envs"):
            source = REPO / name
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, folder / name)
        for name in ("tiny", "small"):
            weights = folder / "models" / name
            weights.mkdir(parents=True)
            (weights / "config.json").write_text("{}")
            (weights / "model.safetensors").write_bytes(name.encode())
        self.env = {**os.environ, "PYTHONPATH": str(REPO / "tests" / "support")}
        self.env["EVALPACK_LEASE_DIR"] = str(folder / "leases")
        if fake:
            self.env["EVALPACK_TEST_ENGINE"] = "fake_engine:FakeEngine"
            self.env["EVALPACK_FAKE_LOG"] = str(folder / "engine.log")
        self.config: dict[str, Any] = {
            "run": "test",
            "results": "results",
            "samples": {"path": "samples.jsonl"},
            "models": [{"name": n, "path": f"models/{n}"} for n in ("tiny", "small")],
            "sampling": {"temperature": 0.0, "max_tokens": 64},
            "planning": {},
        }
        self.samples = [
            {"id": f"s{i}", "prompt": f"Is act {i} justifiable?", "human_response": i % 10 + 1}
            for i in range(10)
        ]
        self.write()

    def write(self) -> None:
        """Write configuration and samples as they stand."""
        (self.folder / "config" / "config.yaml").write_text(yaml.safe_dump(self.config))
        lines = (json.dumps(sample) for sample in self.samples)
        (self.folder / "samples.jsonl").write_text("".join(f"{line}\n" for line in lines))

    def misbehave(self, **behaviour: Any) -> None:
        """Tell the fake engine what to do wrong (see fake_engine)."""
        self.env["EVALPACK_FAKE"] = json.dumps(behaviour)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start Snakemake in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "snakemake", *(arguments or COMMAND)],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, fails: bool = False) -> str:
        """Run Snakemake to its end and return what it printed."""
        with self.start(*arguments) as process:
            output, _ = process.communicate(timeout=240)
        assert (process.returncode != 0) is fails, output
        return output

    def evalpack(self, *arguments: str, fails: bool = False) -> str:
        """Run the `evalpack` command to its end and return what it printed."""
        return self.python(str(Path(sys.executable).parent / "evalpack"), *arguments, fails=fails)

    def python(self, *arguments: str, fails: bool = False) -> str:
        """Run Python in the folder to its end and return what it printed."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == (1 if fails else 0), done.stdout
        return done.stdout

    @property
    def results(self) -> Path:
        return self.folder / "results" / self.config["run"]

    def engine_log(self) -> Counter[str]:
        """How often the engine started, answered and closed since the log was last cleared."""
        path = self.folder / "engine.log"
        lines = path.read_text().splitlines() if path.exists() else []
        return Counter(line.split()[0] for line in lines)

    def wait_for_answers(self, count: int, process: subprocess.Popen[str]) -> None:
        """Wait until the engine has given so many answers."""
        while self.engine_log()["answer"] < count:
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.05)

    def answered_keys(self) -> list[str]:
        """Keys that the engine answered, in order."""
        lines = (self.folder / "engine.log").read_text().splitlines()
        return [line.split()[1] for line in lines if line.startswith("answer ")]

    def clear_engine_log(self) -> None:
        (self.folder / "engine.log").unlink(missing_ok=True)

    def responses(self) -> list[dict[str, Any]]:
        """All records of the run."""
        return pq.read_table(self.results / "judge_ready" / "responses.parquet").to_pylist()

    def answers(self) -> dict[tuple[str, str, str, int], str | None]:
        """Response texts by (model, sample, condition, draw); every row exactly once."""
        rows = self.responses()
        found = {
            (r["model"], r["sample_id"], r["condition"], r["draw"]): r["response"] for r in rows
        }
        assert len(found) == len(rows), "a row stands twice"
        return found
