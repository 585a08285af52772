"""What a user may get wrong on a cluster: a sentence, before anything waits in the queue."""

import shutil
from pathlib import Path

import pytest
from cluster import Cluster
from cluster_project import ClusterProject


@pytest.fixture
def project(tmp_path: Path, cluster: Cluster) -> ClusterProject:
    return ClusterProject(tmp_path, cluster, {"one": 1})


def test_hardware_must_be_said(project: ClusterProject) -> None:
    """NVML of the login node says nothing of the others."""
    project.config["hardware"] = {}
    project.write()
    output = project.submit(fails=True)
    assert "say how many GPUs" in output
    assert "Traceback" not in output


def test_missing_weights_are_found_before_submission(project: ClusterProject) -> None:
    """With the command that fetches them; nothing is queued."""
    shutil.rmtree(project.folder / "models/one")
    before = project.cluster.squeue()
    output = project.submit(fails=True)
    assert "weights are missing: one" in output
    assert "snakemake stage" in output
    assert "Traceback" not in output
    assert project.cluster.squeue().keys() == before.keys()


def test_a_partition_that_does_not_exist(project: ClusterProject) -> None:
    """SLURM's own words."""
    output = project.submit("generate:slurm_partition=nosuch", "--retries", "0", fails=True)
    assert "invalid partition" in output.lower()
    assert "nosuch" in output


def test_a_cluster_run_on_this_machine_is_refused(project: ClusterProject) -> None:
    """What was planned for nodes must not start here."""
    project.config["planning"] = {"cluster": True}
    project.write()
    output = project.run("--resources", "gpu=8", fails=True)
    assert "--workflow-profile profiles/slurm" in output
    assert "Traceback" not in output
