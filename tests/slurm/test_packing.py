"""Jobs of one, two and four GPUs through sbatch: where they land, and that none is lost."""

import itertools
import time
from pathlib import Path

import pytest
from cluster import Cluster
from cluster_project import ClusterProject

WIDTHS = {"four": 4, "wide": 4, "two": 2, "one": 1, "another": 1}
"""Twelve GPUs' worth of jobs, on two nodes of four."""


@pytest.fixture
def project(tmp_path: Path, cluster: Cluster) -> ClusterProject:
    return ClusterProject(tmp_path, cluster, WIDTHS)


def test_one_two_and_four_gpus_share_nothing(project: ClusterProject) -> None:
    """Each job has its GPUs on one node, and no GPU belongs to two jobs at a time."""
    project.misbehave(delay=0.5)
    # More than there are, so that it is SLURM's queue in which the others wait.
    project.config["hardware"]["gpus"] = 16
    project.write()
    with project.start(*project.command("--verbose")) as process:
        while not project.jobs("PENDING"):
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.2)
        project.output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, project.output
    project.show_submissions()
    answers = project.answers()
    assert len(answers) == 10 * len(WIDTHS)
    assert all(answers.values())
    leases = project.leases()
    assert {name: len(lease["devices"]) for name, lease in leases.items()} == WIDTHS
    for lease in leases.values():
        assert len({device.rsplit("-", 1)[0] for device in lease["devices"]}) == 1
    for one, other in itertools.combinations(leases.values(), 2):
        if one["taken"] < other["released"] and other["taken"] < one["released"]:
            assert not {*one["devices"]} & {*other["devices"]}
