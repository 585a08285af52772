"""The throw-away cluster does what a real one does with GPUs, nodes and its controller."""

import time
from collections.abc import Iterator
from pathlib import Path

import configuration
import psutil
import pytest
from cluster import Cluster
from configuration import GPUS, NODES, ClusterError, check_machine

# Says which GPUs it got, and holds them until it is told to go.
HOLD = """
echo $CUDA_VISIBLE_DEVICES > $SLURM_JOB_ID.gpus
until [ -e go ]; do sleep 0.1; done
"""


@pytest.fixture
def go(cluster: Cluster) -> Iterator[Path]:
    """The file that lets waiting jobs end; no job and no node is left otherwise than found."""
    file = cluster.folder / "go"
    file.unlink(missing_ok=True)
    yield file
    file.touch()
    for node in NODES:
        cluster.node_up(node)
    cluster.command("scancel", "--user=root")
    end = time.monotonic() + 30
    while set(cluster.nodes().values()) != {"idle"} and time.monotonic() < end:
        time.sleep(0.1)
    assert set(cluster.nodes().values()) == {"idle"}, cluster.log_tail()


def gpus(cluster: Cluster, job: int) -> list[str]:
    """The GPUs that a running job was given."""
    file = cluster.folder / f"{job}.gpus"
    end = time.monotonic() + 20
    while not (file.exists() and file.read_text().endswith("\n")):
        assert time.monotonic() < end, cluster.log_tail()
        time.sleep(0.05)
    return file.read_text().strip().split(",")


def hold(cluster: Cluster, count: int, *options: str) -> int:
    """A job that holds so many GPUs of one node."""
    return cluster.sbatch(HOLD, f"--gpus={count}", "--nodes=1", *options)


def test_jobs_that_run_at_once_on_a_node_have_gpus_of_their_own(cluster: Cluster, go: Path) -> None:
    wanted = (4, 2, 1, 1)
    jobs = [hold(cluster, count) for count in wanted]
    cluster.wait_for(jobs, "RUNNING")
    late = hold(cluster, 1)
    given = {job: gpus(cluster, job) for job in jobs}
    assert [len(given[job]) for job in jobs] == [*wanted]
    shown = cluster.squeue()
    for node in NODES:
        there = [gpu for job in jobs if shown[job].node == node for gpu in given[job]]
        assert sorted(there) == [str(i) for i in range(GPUS)]
    assert (shown[late].state, shown[late].node) == ("PENDING", "")
    go.touch()
    cluster.wait_for([*jobs, late], "COMPLETED")
    assert len(gpus(cluster, late)) == 1


def test_a_node_that_is_set_down_fails_its_job_takes_none_and_comes_back(
    cluster: Cluster, go: Path
) -> None:
    job = hold(cluster, 4, "--no-requeue", "--nodelist=n1")
    gpus(cluster, job)
    cluster.node_down("n1")
    cluster.wait_for([job], "NODE_FAIL")
    jobs = [hold(cluster, 4) for _ in NODES]
    cluster.wait_for(jobs[:1], "RUNNING")
    time.sleep(2)
    shown = cluster.squeue()
    assert [shown[job].state for job in jobs] == ["RUNNING", "PENDING"]
    assert shown[jobs[0]].node == "n2"
    cluster.node_up("n1")
    cluster.wait_for(jobs, "RUNNING")
    assert cluster.squeue()[jobs[1]].node == "n1"
    go.touch()
    cluster.wait_for(jobs, "COMPLETED")


def test_a_node_that_loses_power_leaves_no_process_and_its_neighbour_works_on(
    cluster: Cluster, go: Path
) -> None:
    dead = cluster.sbatch("echo $$ > pid; sleep 600", "--gpus=1", "--no-requeue", "--nodelist=n1")
    alive = hold(cluster, 1, "--nodelist=n2")
    gpus(cluster, alive)
    cluster.wait_for([dead], "RUNNING")
    while not (cluster.folder / "pid").exists():
        time.sleep(0.05)
    cluster.kill_node("n1")
    living = [p for p in psutil.process_iter() if p.status() != psutil.STATUS_ZOMBIE]
    assert int((cluster.folder / "pid").read_text()) not in [p.pid for p in living]
    assert [p.name() for p in living].count("slurmstepd") == 1, "only the neighbour's is left"
    cluster.node_down("n1")
    cluster.wait_for([dead], "NODE_FAIL")
    cluster.node_up("n1")
    after = hold(cluster, 4, "--nodelist=n1")
    cluster.wait_for([alive, after], "RUNNING")
    go.touch()
    cluster.wait_for([alive, after], "COMPLETED")


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "crashed"])
def test_a_job_runs_on_while_the_controller_is_away_and_finishes(
    cluster: Cluster, go: Path, kill: bool
) -> None:
    running = hold(cluster, 2)
    given = gpus(cluster, running)
    cluster.save_jobs()
    cluster.stop_controller(kill=kill)
    with pytest.raises(ClusterError, match=r"squeue failed: .*[Uu]nable to contact"):
        cluster.squeue()
    cluster.start_controller()
    assert cluster.squeue()[running].state == "RUNNING"
    beside = hold(cluster, 2, f"--nodelist={cluster.squeue()[running].node}")
    assert not set(given) & set(gpus(cluster, beside))
    cluster.save_jobs()
    cluster.restart_controller(kill=kill)
    go.touch()
    cluster.wait_for([running, beside], "COMPLETED")


def test_a_configuration_of_somebody_elses_is_refused_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "slurm.conf"
    theirs.write_text("ClusterName=production\n")
    monkeypatch.setattr(configuration, "SLURM_CONF", theirs)
    monkeypatch.setattr(configuration, "GRES_CONF", tmp_path / "gres.conf")
    monkeypatch.setenv("SLURM_CONF", str(theirs))
    with pytest.raises(ClusterError, match="was not written by these tests"):
        Cluster(tmp_path).start()
    configuration.remove()
    assert theirs.read_text() == "ClusterName=production\n"


def test_what_to_install_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "PROGRAMS", ("no-such-daemon",))
    with pytest.raises(
        ClusterError, match=r"no `no-such-daemon`; .*: apt-get install -y slurmctld"
    ):
        check_machine()
