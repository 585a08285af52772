"""One run to which everything happens: a time limit, scancel, a controller that restarts, a node that dies.

The tests look at what became of it. Every answer must be there, and none may be made twice.
"""

import time
from collections.abc import Iterator

import pytest
from cluster import Cluster
from cluster_project import ClusterProject

DELAYS = {"slow": 8.0, "cancelled": 2.0, "wide": 4.0}
"""Seconds an answer; ten of them take `slow` longer than the minute that a job gets."""


@pytest.fixture(scope="module")
def harmed(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[ClusterProject]:
    """The project after the run."""
    widths = {"slow": 1, "cancelled": 1, "wide": 4}
    project = ClusterProject(tmp_path_factory.mktemp("harmed"), cluster, widths)
    project.misbehave(delay=DELAYS)
    # A minute at the first attempt, which SLURM counts in whole ones, then more.
    command = project.command("generate:runtime=attempt*attempt", "--verbose")
    with project.start(*command) as process:
        for model in ("cancelled", "wide"):
            project.wait_for_model(model, process)
        cluster.command("scancel", str(project.job_of("cancelled")))
        cluster.restart_controller()
        job = project.job_of("wide")
        node = cluster.squeue()[job].node
        cluster.kill_node(node)
        cluster.node_down(node)
        time.sleep(2)
        cluster.node_up(node)
        project.output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, project.output
    project.show_submissions()
    yield project


def test_every_answer_is_there_once(harmed: ClusterProject) -> None:
    """No row is missing, none stands twice, and no key was answered twice."""
    answers = harmed.answers()
    assert len(answers) == 30
    assert all(answers.values())
    keys = harmed.answered_keys()
    assert len(keys) == len(set(keys)) == 30


@pytest.mark.parametrize("model", DELAYS)
def test_a_job_that_was_ended_went_on_from_its_journal(harmed: ClusterProject, model: str) -> None:
    """Its second attempt found what the first had answered, and did the rest."""
    log = (harmed.results / f"logs/generate/{model}/1-of-1.log").read_text()
    found = int(log.rpartition(" answers in the journal")[0].rsplit(maxsplit=1)[-1])
    assert found > 0
    assert len(harmed.jobs_of(model)) > 1


def test_a_job_over_its_limit_was_ended_by_slurm(harmed: ClusterProject) -> None:
    """The first attempt, which had a minute; the next had more."""
    states = [job.state for job in harmed.jobs_of("slow")]
    assert states[0] == "TIMEOUT"
    assert states[-1] == "COMPLETED"
