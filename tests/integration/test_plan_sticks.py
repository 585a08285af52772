"""What is planned is what is run: dry runs show it, touch nothing, and what has begun stays as it is."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from project import REPO, Project

LINEUP = yaml.safe_load((REPO / "config" / "lineup-4xa100.yaml").read_text(encoding="utf-8"))
Jobs = dict[tuple[str, int], tuple[int, int, int]]
"""(shards, GPUs, priority) of each generate job by its model's file name and number."""

JOB = re.compile(
    r"rule generate:\n(?:    .*\n)*?    output: \S+/generations/(\S+)/(\d+)-of-(\d+)\.parquet\n"
    r"(?:    .*\n)*?    priority: (\d+)\n(?:    .*\n)*?    resources: .*gpu=(\d+)"
)
WATCH = """
import sys
class Watch:
    heavy = ("torch", "vllm", "evalpack.plan.program", "evalpack.plan.solver")
    def find_spec(self, name, path=None, target=None):
        if name in self.heavy:  # PuLP and its solvers Snakemake imports, whatever the scheduler
            with open("imported.log", "a") as log:
                log.write(name + "\\n")
        return None
sys.meta_path.insert(0, Watch())
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.config |= LINEUP
    project.write()
    return project


def dry_run(project: Project, *arguments: str) -> Jobs:
    """The generate jobs of `snakemake -n`; `--resources` is what the config says."""
    output = project.run("-n", *arguments)
    found = {
        (slug, int(i)): (int(of), int(gpus), int(priority))
        for slug, i, of, priority, gpus in JOB.findall(output)
    }
    assert len(found) == output.count("rule generate:") > 0
    return found


def shape(jobs: Jobs) -> dict[str, tuple[int, int]]:
    """Shards and GPUs by model."""
    return {slug: (of, gpus) for (slug, _), (of, gpus, _) in jobs.items()}


def planned(project: Project, *arguments: str) -> Jobs:
    """The jobs of `evalpack plan`."""
    found = json.loads(project.evalpack("plan", "--json", *arguments))
    slugs = {row["model"]: row["slug"] for row in found["models"]}
    return {
        (slugs[job["model"]], job["shard"]): (job["shards"], job["gpus"], job["priority"])
        for job in found["jobs"]
    }


def tree(folder: Path) -> dict[str, Any]:
    """All files below, with what tells whether they were touched."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in folder.rglob("*")
        if ".snakemake" not in path.parts and "__pycache__" not in path.parts
    }


def begin(project: Project, *slugs: str) -> None:
    """As if a run had started these models' jobs: plan.json is written, and their folders are made."""
    code = (
        "from pathlib import Path; from evalpack import project; from evalpack.build import build\n"
        "from evalpack.paths import RunPaths\n"
        "settings = project.load([])\n"
        "build(settings, None).save(RunPaths(settings.run_dir).plan)\n"
    )
    project.python("-c", code)
    for slug in slugs:
        (project.results / "generations" / slug).mkdir(parents=True)


def test_a_dry_run_needs_no_gpu_and_leaves_no_trace(project):
    before = tree(project.folder)
    ten = dry_run(project)
    assert {slug for slug, _ in ten} == {name.replace(":", "-") for name in LINEUP["models"]}
    assert not project.results.exists()
    project.config |= {"models": LINEUP["models"][:3], "hardware": {"gpu_type": "H100-80GB"}}
    project.write()
    assert len(shape(dry_run(project, "--resources", "gpu=2"))) == 3
    after = tree(project.folder)
    changed = {"config", "config/config.yaml", "samples.jsonl"}
    assert {name for name in before | after if before.get(name) != after.get(name)} <= changed


def test_a_dry_run_of_a_run_that_has_begun_leaves_it_as_it_is(project):
    begin(project, "llama3.1-8b")
    project.evalpack("plan", "--no-solver")
    before = tree(project.folder)
    dry_run(project)
    assert tree(project.folder) == before


def test_a_dry_run_imports_no_solver_and_no_engine(project):
    (project.folder / "hooks").mkdir()
    (project.folder / "hooks" / "sitecustomize.py").write_text(WATCH)
    project.env["PYTHONPATH"] += f":{project.folder / 'hooks'}"
    dry_run(project)
    log = project.folder / "imported.log"
    assert not log.exists(), log.read_text()
    project.evalpack("plan")
    assert "evalpack.plan.solver" in log.read_text(), "the watch sees what is imported"


def test_the_next_dry_run_takes_the_plan_of_evalpack_plan(project):
    project.config["samples"] = {"path": "samples.jsonl"}
    project.samples = [{"id": f"s{i}", "prompt": f"Is act {i} just? " * 20} for i in range(3000)]
    project.write()
    found = planned(project)
    assert dry_run(project) == found
    assert dry_run(project, "--resources", "gpu=4") == found
    widest = max(found.values(), key=lambda job: job[2])
    assert widest[1] == max(gpus for _, gpus, _ in found.values())


def test_a_cached_plan_goes_over_list_scheduling(project):
    listed = dry_run(project)
    planned(project)
    (cached,) = (project.results / "plan" / "cache").iterdir()
    content = json.loads(cached.read_text())
    for model in content["models"]:
        model["priorities"] = [priority + 100 for priority in model["priorities"]]
    cached.write_text(json.dumps(content))
    assert min(priority for _, _, priority in dry_run(project).values()) > 100
    cached.write_text("{")
    assert dry_run(project) == listed


def test_a_model_more_leaves_shards_and_gpus_of_those_that_have_begun(project):
    project.config["models"] = LINEUP["models"][:4]
    project.config["samples"] = {"path": "samples.jsonl"}
    project.samples = [{"id": f"s{i}", "prompt": f"Is act {i} just? " * 20} for i in range(3000)]
    project.write()
    first = shape(dry_run(project))
    begin(project, *first)
    project.config["models"] = LINEUP["models"]
    project.write()
    then = shape(dry_run(project))
    assert len(then) == 10
    assert first.items() <= then.items()
    assert shape(planned(project)) == shape(dry_run(project))
    assert first.items() <= shape(dry_run(project)).items()


def test_after_a_run_on_the_cpu_a_model_more_is_all_that_is_asked(tmp_path):
    project = Project(tmp_path)
    project.config["models"][0]["shards"] = 2
    project.write()
    project.run()
    project.clear_engine_log()
    another = shutil.copytree(tmp_path / "models" / "tiny", tmp_path / "models" / "another")
    (another / "model.safetensors").write_bytes(b"another")
    project.config["models"].append({"name": "another", "path": "models/another"})
    project.write()
    project.run()
    assert project.engine_log() == {"start": 1, "answer": 10, "close": 1}
    assert "Nothing to be done" in project.run()
