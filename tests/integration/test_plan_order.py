"""A plan's priorities under the real Snakemake: jobs that sleep, started in the order of the plan."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from lineups import TEN, plan

from evalpack.plan.schedule import Schedule

GPUS = 4
TAKES = 12.0
"""Seconds that the whole plan is scaled to."""
SLACK = 1.0
"""Seconds by which a start may be late: 0.1 on an idle machine, where Snakemake starts a shell a job."""

SNAKEFILE = """
JOBS = {jobs}

rule all:
    input:
        expand("{{job}}.done", job=JOBS),

rule job:
    output:
        "{{job}}.done",
    priority: lambda wildcards: JOBS[wildcards.job]["priority"]
    resources:
        gpu=lambda wildcards: JOBS[wildcards.job]["gpu"],
    params:
        seconds=lambda wildcards: JOBS[wildcards.job]["seconds"],
    shell:
        "date +%s.%N > {{wildcards.job}}.began; sleep {{params.seconds}};"
        " date +%s.%N > {{output}}"
"""


def run(folder: Path, planned: Schedule, scale: float) -> tuple[dict[str, float], float]:
    """Seconds at which each job begins under Snakemake, from the first on, and the makespan."""
    jobs = {
        f"{place.job.model}-{place.job.shard}".replace(":", "_"): {
            "priority": place.job.priority,
            "gpu": place.job.gpus,
            "seconds": round(place.job.seconds * scale, 3),
        }
        for place in sorted(planned.placed, key=lambda place: place.job.model)
    }
    (folder / "Snakefile").write_text(SNAKEFILE.format(jobs=json.dumps(jobs)))
    command = [sys.executable, "-m", "snakemake", "--scheduler", "greedy", "--cores", "64"]
    done = subprocess.run(
        [*command, "--resources", f"gpu={GPUS}", "--quiet", "all"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    began = {job: float((folder / f"{job}.began").read_text()) for job in jobs}
    first = min(began.values())
    ended = max(float((folder / f"{job}.done").read_text()) for job in jobs)
    return {job: time - first for job, time in began.items()}, ended - first


@pytest.mark.parametrize("shards", [None, 2])
def test_snakemake_starts_the_jobs_in_the_order_of_the_plan(
    tmp_path: Path, shards: int | None
) -> None:
    planned = plan(TEN, GPUS, planning={"shards": shards} if shards else {}).schedule
    scale = TAKES / planned.makespan
    began, makespan = run(tmp_path, planned, scale)
    due = {
        f"{place.job.model}-{place.job.shard}".replace(":", "_"): place.begin * scale
        for place in planned.placed
    }
    table = "\n".join(
        f"{job:20} planned {due[job]:6.2f} s, began {began[job]:6.2f} s"
        for job in sorted(due, key=due.__getitem__)
    )
    pairs = [
        (one, other)
        for one, soon in due.items()
        for other, later in due.items()
        if soon + SLACK < later
    ]
    assert len(pairs) > len(due), table
    assert all(began[one] < began[other] for one, other in pairs), table
    assert began == pytest.approx(due, abs=SLACK), table
    assert makespan == pytest.approx(TAKES, abs=SLACK), table
