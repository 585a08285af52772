"""The same command again: after Snakemake was killed, and when all is answered already."""

import os
import shutil
import signal
from pathlib import Path

from cluster import Cluster
from cluster_project import ClusterProject


def test_a_killed_workflow_goes_on_and_answers_nothing_twice(
    tmp_path: Path, cluster: Cluster
) -> None:
    """Its jobs, queued or running, are ended by the next one, which does what is missing.

    Then all but the journal is lost, and the jobs find every answer there: no engine, at most 20 s.
    """
    project = ClusterProject(tmp_path, cluster, {"one": 1, "two": 2})
    project.misbehave(delay=3)
    with project.start(*project.command()) as process:
        project.wait_for_answers(6, process)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    left = set(project.jobs("RUNNING"))
    assert left
    project.misbehave()
    project.submit()
    assert {cluster.squeue()[job].state for job in left} == {"CANCELLED"}
    keys = project.answered_keys()
    assert len(keys) == len(set(keys)) == 20
    assert all(project.answers().values())

    for lost in ("generations", "merged", "responses", "judge_ready"):
        shutil.rmtree(project.results / lost)
    project.clear_engine_log()
    before = set(cluster.squeue())
    project.submit()
    assert not project.engine_log()
    assert all(project.answers().values())
    again = set(cluster.squeue()) - before
    assert len(again) == 2
    for job in again:
        began, ended = (project.time_of(job, field) for field in ("StartTime", "EndTime"))
        assert (ended - began).total_seconds() <= 20
