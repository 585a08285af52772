"""`evalpack plan`: everything a user wants to see before GPU hours are spent, without a GPU."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from project import REPO, Project

from evalpack.cli import main
from evalpack.jobs import SCHEMA_VERSION
from evalpack.paths import RunPaths
from evalpack.plan import calibration
from evalpack.plan.store import find

LINEUP = yaml.safe_load((REPO / "config" / "lineup-4xa100.yaml").read_text(encoding="utf-8"))
OWNER = """
import sys, time
from pathlib import Path
from evalpack.runlock import RunLock
RunLock(Path(sys.argv[1])).acquire()
print("mine", flush=True)
time.sleep(120)
"""
MEASURED = {
    "schema_version": calibration.SCHEMA_VERSION,
    "job": "earlier/llama3.1-8b/1-of-1",
    "model": "llama3.1:8b",
    "source": "meta-llama/Llama-3.1-8B-Instruct",
    "gpu_type": "A100-80GB",
    "gpus": 1,
    "mode": "eager",
    "engines": 1,
    "max_num_seqs": 256,
    "utilization": 0.9,
    "kv_bytes": 20_000_000_000,
    "warm": True,
    "requests": 50,
    "prompt_characters": 27_000,
    "prompt_tokens": 8_000,
    "output_tokens": 3_000,
    "longest_output": 60,
    "max_tokens": 512,
    "start": 60.0,
    "generate": 12.0,
    "finished": "2026-11-23T01:02:03.456Z",
}


class Planned:
    """A project folder to plan in, with the ten models on four A100."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.project = Project(folder)
        self.capsys = capsys
        self.set(**LINEUP | {"planning": {**LINEUP["planning"], "solver_seconds": 1}})

    def set(self, **config: Any) -> None:
        self.project.config |= config
        self.project.write()

    def plan(self, *arguments: str, code: int = 0) -> str:
        """What the command printed on stdout."""
        quick = () if "--solver" in arguments else ("--no-solver",)
        given = [argument for argument in arguments if argument != "--solver"]
        assert main(["plan", *quick, *given]) == code
        out, self.err = self.capsys.readouterr()
        return out

    def json(self, *arguments: str) -> dict[str, Any]:
        return json.loads(self.plan("--json", *arguments))  # type: ignore[no-any-return]

    @property
    def paths(self) -> RunPaths:
        return RunPaths(self.project.results)


@pytest.fixture
def planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Planned:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return Planned(tmp_path, capsys)


class TestTable:
    def test_ten_models_fit_80_columns_with_every_cell_whole(self, planned: Planned) -> None:
        lines = planned.plan().splitlines()
        assert max(map(len, lines)) <= 80
        head = next(line for line in lines if line.startswith("model"))
        assert head.split() == [
            *("model", "size", "weights", "TP", "shards", "mem/GPU", "batch", "start-up"),
            *("generate", "finish"),
        ]
        cells = (
            r"(small|medium|large) +[\d.]+ GB +\d +\d +[\d.]+ GB +\d+ +\d+:\d\d +\d+:\d\d +\d+:\d\d"
        )
        for model in LINEUP["models"]:
            row = next(line for line in lines if line.startswith(f"{model} "))
            assert re.fullmatch(cells, row.removeprefix(model).strip())

    def test_the_totals_say_how_good_the_plan_is(self, planned: Planned) -> None:
        out = planned.plan()
        assert re.search(r"Makespan \d+ min \d\d s, \d\.\d\d GPU-hours\n", out)
        assert re.search(r"GPUs busy \d+% of the time, generating \d+%", out)
        assert re.search(r"Against one model at a time: .*, \d+\.\d times as long", out)
        assert re.search(r"Against three phases \(small, medium, large\): .* times as long", out)
        assert re.search(r"No plan ends before .*; this one is \d+\.\d% above that, by", out)
        assert "50 samples make 50 generations a model." in out

    def test_the_lead_in_is_told_and_is_in_every_sum(self, planned: Planned) -> None:
        said = "The first 28 s import vLLM, once for all jobs"
        warm = planned.json()
        assert said in planned.plan()
        assert min(job["begin"] for job in warm["jobs"]) == 28
        planned.set(planning={**planned.project.config["planning"], "warm_start": False})
        cold = planned.json()
        assert said not in planned.plan()
        assert min(job["begin"] for job in cold["jobs"]) == 0
        assert warm["totals"]["makespan_seconds"] < cold["totals"]["makespan_seconds"]

    def test_a_price_becomes_a_cost(self, planned: Planned) -> None:
        assert planned.json()["totals"]["cost"] is None
        hardware = {**LINEUP["hardware"], "price_per_gpu_hour": 2.5, "currency": "EUR"}
        planned.set(hardware=hardware)
        totals = planned.json()["totals"]
        assert totals["cost"] == pytest.approx(2.5 * totals["gpu_hours"])
        assert f"GPU-hours, {totals['cost']:.2f} EUR" in planned.plan()

    def test_on_the_cpu_it_speaks_of_no_gpus(self, planned: Planned) -> None:
        planned.set(hardware={}, models=["smollm2:135m", "smollm2:135m-warm"])
        out = planned.plan()
        assert "Plan of lineup-4xa100 on the CPU" in out
        assert "GPU-hours" not in out
        assert "smollm2:135m-warm small" in out

    def test_a_server_elsewhere_takes_no_gpu_time(self, planned: Planned) -> None:
        server = {"name": "judge", "backend": "openai", "base_url": "http://localhost:1/v1"}
        planned.set(models=["llama3.2:1b", server])
        assert "On servers elsewhere, and in no GPU's time: judge." in planned.plan()
        planned.set(models=[server])
        assert planned.json()["totals"]["makespan_seconds"] == 0

    def test_names_and_folders_with_brackets_are_shown_as_they_are(self, planned: Planned) -> None:
        named = {"name": "[bold]x[/]", "base": "llama3.2:1b"}
        planned.set(models=[named], results="out[1]")
        out = planned.plan()
        assert "[bold]x[/]" in out.replace("\n", "")
        assert "out[1]/lineup-4xa100/plan/plan.html" in out

    def test_fewer_gpus_take_longer(self, planned: Planned) -> None:
        four, two = planned.json(), planned.json("--gpus", "2")
        assert (four["gpus"], two["gpus"]) == (4, 2)
        assert two["totals"]["makespan_seconds"] > four["totals"]["makespan_seconds"]


class TestJson:
    def test_it_is_all_of_stdout_and_agrees_with_itself(self, planned: Planned) -> None:
        found = planned.json()
        assert sorted(row["model"] for row in found["models"]) == sorted(LINEUP["models"])
        totals = found["totals"]
        assert max(job["end"] for job in found["jobs"]) == totals["makespan_seconds"]
        assert totals["lower_bound_seconds"] <= totals["makespan_seconds"]
        assert totals["makespan_seconds"] <= totals["phases_seconds"]
        assert totals["gap"] == pytest.approx(
            totals["makespan_seconds"] / totals["lower_bound_seconds"] - 1
        )
        for job in found["jobs"]:
            assert len(job["devices"]) == job["gpus"]

    def test_as_a_process_it_prints_nothing_else_and_warns_on_stderr(
        self, planned: Planned
    ) -> None:
        planned.project.samples[0]["prompt"] = "Human response for reference: 1/10. Justifiable?"
        planned.set(samples={"path": "samples.jsonl"})
        command = [str(Path(sys.executable).parent / "evalpack"), "plan", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["gpus"] == 4
        assert "Traceback" not in done.stderr


class TestFiles:
    def test_page_picture_and_plan_are_written_and_no_plan_json(self, planned: Planned) -> None:
        planned.plan()
        folder = planned.paths.planning
        assert "llama3.3-70b" in (folder / "plan.html").read_text(encoding="utf-8")
        ElementTree.fromstring((folder / "plan.svg").read_bytes())  # noqa: S314 - our own
        (cached,) = planned.paths.plans.iterdir()
        assert find(planned.paths.plans, cached.stem) is not None
        assert not planned.paths.plan.exists()

    def test_the_same_inputs_have_one_plan_and_others_another(self, planned: Planned) -> None:
        planned.plan("--no-solver")
        planned.plan("--no-solver")
        assert len(list(planned.paths.plans.iterdir())) == 1
        planned.set(sampling={"temperature": 0.0, "max_tokens": 100})
        planned.plan("--no-solver")
        assert len(list(planned.paths.plans.iterdir())) == 2

    def test_a_live_run_keeps_its_plan_and_the_user_is_told(self, planned: Planned) -> None:
        kept = json.dumps({"schema_version": SCHEMA_VERSION, "models": []})
        planned.paths.run.mkdir(parents=True)
        planned.paths.plan.write_text(kept)
        command = [sys.executable, "-c", OWNER, str(planned.paths.lock)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
            assert owner.stdout is not None
            assert owner.stdout.readline() == "mine\n"
            out = planned.plan()
            owner.kill()
        said = "A workflow is working on this run: it goes on with the plan it started with."
        assert said in " ".join(out.split())
        assert planned.paths.plan.read_text() == kept
        assert said not in " ".join(planned.plan().split())


class TestCalibrated:
    def test_without_history_it_says_what_makes_one(self, planned: Planned) -> None:
        planned.plan("--calibrated", code=1)
        assert planned.err == (
            "evalpack: nothing was measured on A100-80GB yet; run `evalpack pilot`, or plan without"
            " --calibrated\n"
        )

    def test_what_killed_runs_measured_is_shown_and_used_when_asked_for(
        self, planned: Planned
    ) -> None:
        before = planned.json()
        path = RunPaths(Path("results/earlier")).measured("llama3.1-8b", "1-of-1")
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(MEASURED))
        out = planned.plan()
        assert re.search(
            r"\nllama3.1:8b +1 +1 +50 +60 of 512 +\d+ → 60 s +\d+ → 12 s +250 ?\n", out
        )
        assert max(map(len, out.splitlines())) <= 80
        assert planned.json()["models"] == before["models"]
        calibrated = {row["model"]: row for row in planned.json("--calibrated")["models"]}
        eight = calibrated["llama3.1:8b"]
        assert eight["start"] == pytest.approx(60)
        if eight["shards"] == 1:
            assert eight["generate"] == pytest.approx(12, rel=0.3)
        said = " ".join(planned.plan("--calibrated").split())
        assert (
            "Times are calibrated by 1 finished job; 1 of 10 models by jobs of their own." in said
        )
