"""Jobs that fork from the warm server: their answers, their logs, and their end, however it comes."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from project import Project

from evalpack.jobs import RunSpec
from evalpack.paths import RunPaths
from evalpack.warm import ahead

ONE_GPU = ("--cores", "all", "--resources", "gpu=1")
PATIENCE = 60.0


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Four models on one pretended GPU, so that three of them wait for their turn."""
    project = Project(tmp_path)
    names = ["tiny", "small", "third", "fourth"]
    for name in names[2:]:
        folder = tmp_path / "models" / name
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(name.encode())
    project.config["models"] = [
        {"name": name, "path": f"models/{name}", "tensor_parallel_size": 1} for name in names
    ]
    project.config["hardware"] = {"gpus": 1, "gpu_type": "H100-80GB"}
    project.env["EVALPACK_TEST_NVML"] = "pretended_gpus:TwoGpus"
    project.write()
    yield project
    for process in family(project):
        process.kill()


def family(project: Project) -> list[psutil.Process]:
    """Everything that works on the project, forked from whatever."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()) == project.folder:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def servers(project: Project) -> list[psutil.Process]:
    """The server and what it forked: the server is the one with no parent among them."""
    return [p for p in family(project) if "evalpack.warm.server" in " ".join(p.cmdline())]


def until(condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
    return found


def generating(project: Project) -> psutil.Process:
    """The process of a job that has begun to answer."""

    def found() -> psutil.Process | None:
        for file in (project.results / "telemetry").glob("*/*.arrows"):
            log = project.results / "logs" / "generate" / file.parent.name / "1-of-1.log"
            if log.exists() and ": generating, " in log.read_text():
                return psutil.Process(int(file.stem.rpartition("-")[2]))
        return None

    return until(found)  # type: ignore[no-any-return]


def warmth(project: Project) -> list[bool]:
    """Of each job that ended well, whether it forked from the server."""
    files = (project.results / "measured").glob("*/*.json")
    return sorted(json.loads(file.read_text())["warm"] for file in files)


def complete(project: Project) -> bool:
    """Whether every sample of every model has its answer, once."""
    return len(project.answers()) == 40 and all(row["success"] for row in project.responses())


def test_answers_and_logs_are_those_of_jobs_that_start_by_themselves(project: Project) -> None:
    project.run(*ONE_GPU)
    answers = project.answers()
    assert len(answers) == 40
    for name in ("tiny", "small", "third", "fourth"):
        log = (project.results / "logs" / "generate" / name / "1-of-1.log").read_text()
        told = [line.split(": ", 1)[1].split(",")[0] for line in log.splitlines()]
        assert told[0] == "0 answers in the journal"
        assert told[-1] == "done"
    assert warmth(project) == [True] * 4
    project.config |= {"run": "cold", "planning": {"warm_start": False}}
    project.write()
    project.run(*ONE_GPU)
    assert project.answers() == answers
    assert warmth(project) == [False] * 4
    assert not (project.results / "logs" / "warm.log").exists()


def test_nothing_is_left_when_snakemake_is_killed(project: Project) -> None:
    project.misbehave(delay=1)
    process = project.start(*ONE_GPU)
    generating(project)
    until(lambda: len(servers(project)) >= 3)  # the server, the job, the one that is prepared
    process.send_signal(signal.SIGKILL)
    process.communicate()
    until(lambda: not family(project))
    project.misbehave()
    project.run(*ONE_GPU)
    assert complete(project)


def test_ctrl_c_ends_all(project: Project) -> None:
    project.misbehave(delay=1)
    process = project.start(*ONE_GPU)
    generating(project)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    until(lambda: not family(project))


def test_a_job_that_is_killed_is_started_again(project: Project) -> None:
    project.misbehave(delay=0.5)
    process = project.start(*ONE_GPU)
    generating(project).kill()
    output, _ = process.communicate(timeout=180)
    assert process.returncode == 0, output
    assert "the job's process was killed" in output
    assert complete(project)
    keys = project.answered_keys()
    assert len(keys) == len(set(keys)), "an answer was made twice"


def test_a_job_whose_script_is_killed_ends(project: Project) -> None:
    project.misbehave(delay=1)
    process = project.start(*ONE_GPU)
    job = generating(project)
    for script in family(project):
        if "generate.py" in " ".join(script.cmdline()):
            script.kill()
    until(lambda: not job.is_running())
    process.kill()
    process.communicate()


def test_without_the_server_jobs_start_by_themselves(project: Project) -> None:
    project.misbehave(delay=0.3)
    process = project.start(*ONE_GPU)
    job = generating(project)
    (server,) = [p for p in servers(project) if p.pid == job.ppid()]
    server.kill()
    output, _ = process.communicate(timeout=180)
    assert process.returncode == 0, output
    assert complete(project)
    assert warmth(project) == [False, False, False, True]  # the one that ran went on to its end


def test_a_server_that_cannot_import_is_none(project: Project) -> None:
    broken = project.folder / "broken"
    broken.mkdir()
    (broken / "pynvml.py").write_text("raise ImportError('no such driver')")
    project.env["PYTHONPATH"] = f"{broken}{os.pathsep}{project.env['PYTHONPATH']}"
    project.run(*ONE_GPU)
    assert complete(project)
    assert "no such driver" in (project.results / "logs" / "warm.log").read_text()


def test_who_was_prepared_and_is_not_needed_leaves_no_trace(project: Project) -> None:
    project.misbehave(delay=0.5)
    first = "results/test/generations/fourth/1-of-1.parquet"
    project.run(first, *ONE_GPU)
    for folder in ("journal", "telemetry", "starts", "heartbeat", "generations"):
        found = {path.name for path in (project.results / folder).glob("*") if path.is_dir()}
        assert found == {"fourth"}, folder
    assert not family(project)


def test_what_comes_next_is_what_the_plan_says(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.run(*ONE_GPU)
    spec = RunSpec.load(project.results / "plan.json")
    monkeypatch.chdir(project.folder)
    paths = RunPaths(Path("results/test"))
    assert list(ahead.upcoming(spec, paths, set())) == []
    for name in ("tiny", "small", "third"):
        (project.results / "generations" / name / "1-of-1.parquet").unlink()
    due = list(ahead.upcoming(spec, paths, set()))
    ranked = sorted(spec.models, key=lambda job: -job.priority)
    assert [task["slug"] for task in due] == [
        job.model.slug for job in ranked if job.model.slug != "fourth"
    ]
    begun = {ahead.name(due[0])}
    (project.folder / "models" / due[1]["slug"] / "model.safetensors").unlink()
    assert [task["slug"] for task in ahead.upcoming(spec, paths, begun)] == [due[2]["slug"]]
