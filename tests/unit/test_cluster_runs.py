"""What a cluster asks of a configuration, and what SLURM gives its jobs."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from builders import REPO
from lineups import MODELS, plan, work

from evalpack import cluster, config
from evalpack.errors import UserError
from evalpack.jobs import ModelJob
from evalpack.lookups import ByAttempt
from evalpack.models import Model


def config_of(**sections: Any) -> config.Config:
    """A resolved configuration of one model."""
    raw = {"samples": {"path": "samples.jsonl"}, "models": ["llama3.1:8b"], **sections}
    return config.load(raw, REPO / "config/models.yaml")


def job_of(**predicted: float) -> ModelJob:
    """A model's jobs on one GPU, with the plan's seconds."""
    return ModelJob(Model(name="a", path="no/such/folder"), (), "a", predicted=predicted)


def test_hardware_must_say_what_nodes_have() -> None:
    """The number and the type; the command line may give the number."""
    with pytest.raises(UserError, match="say how many GPUs"):
        cluster.check_hardware(config_of(hardware={}), None)
    with pytest.raises(UserError, match="say how many GPUs"):
        cluster.check_hardware(config_of(hardware={"gpus": 4}), None)
    cluster.check_hardware(config_of(hardware={"gpus": 4, "gpu_type": "H100-80GB"}), None)
    cluster.check_hardware(config_of(hardware={"gpu_type": "H100-80GB"}), 4)
    cluster.check_hardware(config_of(hardware={"gpus": 0}), None)


def test_indices_mean_nothing_on_a_cluster() -> None:
    """SLURM chooses the GPUs."""
    config = config_of(hardware={"gpus": [0, 1, 3], "gpu_type": "H100-80GB"})
    with pytest.raises(UserError, match="Write 3"):
        cluster.check_hardware(config, None)


@pytest.mark.parametrize(
    ("given", "known"), [(None, False), ({"mem_mb": 1}, False), ({"slurm_partition": "gpu"}, True)]
)
def test_a_profile_for_slurm_is_recognised(given: dict[str, Any] | None, known: bool) -> None:
    """By default resources that nothing else has; what the config says stands."""
    workflow = SimpleNamespace(resource_settings=SimpleNamespace(default_resources=given))
    assert cluster.recognised(workflow, config_of()).on_cluster is known
    assert cluster.recognised(workflow, config_of(planning={"cluster": True})).on_cluster


def test_where_jobs_run_must_be_what_was_planned() -> None:
    """Both ways round."""
    cluster.check_executor(here=True, cluster=False)
    cluster.check_executor(here=False, cluster=True)
    with pytest.raises(UserError, match="profiles/slurm"):
        cluster.check_executor(here=True, cluster=True)
    with pytest.raises(UserError, match="profiles/slurm"):
        cluster.check_executor(here=False, cluster=False)


def test_a_job_gets_its_predicted_time_and_half_again() -> None:
    """And as much more at each attempt; four hours where nothing is known."""
    job = job_of(start_seconds=60.0, generate_seconds=540.0)
    assert cluster.runtime_minutes(job, 0, 1) == 15 + cluster.SPARE_MINUTES
    assert cluster.runtime_minutes(job, 0, 3) == 3 * cluster.runtime_minutes(job, 0, 1)
    unknown = replace(job, predicted={"start_seconds": 60.0, "generate_seconds": 0.0})
    assert cluster.runtime_minutes(unknown, 0, 2) == 480
    # Waiting in the queue is no part of it.
    queued = job_of(start_seconds=3660.0, generate_seconds=540.0)
    assert cluster.runtime_minutes(queued, 3600, 1) == cluster.runtime_minutes(job, 0, 1)


def test_a_value_by_attempt_is_what_snakemake_asks_for() -> None:
    """Snakemake passes `attempt` to functions that name it."""
    values = ByAttempt({"a": lambda attempt: 10 * attempt})
    assert list(values.__signature__.parameters) == ["wildcards", "attempt"]
    assert values(SimpleNamespace(slug="a"), attempt=3) == 30


def test_missing_weights_are_named_with_the_command() -> None:
    """A local folder that is not there."""
    with pytest.raises(UserError, match=r"missing: a\..*`snakemake stage`"):
        cluster.check_weights([job_of()])


def test_the_longer_the_queue_the_fewer_the_shards() -> None:
    """A shard that waits as long as it works does not pay; jobs on a cluster start cold."""
    models = [MODELS["llama3.1:8b"]]

    def shards(queue: float) -> int:
        planning = {"cluster": True, "queue_seconds": queue}
        return plan(models, 8, planning=planning, asked=work(requests=20_000)).models[0].shards

    assert shards(0) > shards(600) >= 1
    cold = plan(models, planning={"cluster": True})
    waiting = plan(models, planning={"cluster": True, "queue_seconds": 100, "shards": 1})
    alone = plan(models, planning={"cluster": True, "shards": 1})
    assert cold.lead == 0
    assert waiting.models[0].cost.start == pytest.approx(100 + alone.models[0].cost.start)


def test_jobs_of_a_dead_workflow_need_slurm_to_be_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Going on from a machine without SLURM's commands would run their shards twice."""
    monkeypatch.setenv("PATH", str(tmp_path))
    submitted = cluster.Submitted(tmp_path / "submitted.json")
    submitted.replace("a-name")
    with pytest.raises(UserError, match="no `squeue` here"):
        submitted.replace(None)
    submitted.clear()  # nobody can say whether they have ended
    with pytest.raises(UserError, match="no `squeue` here"):
        submitted.replace(None)


def test_only_slurms_executor_has_a_name_in_its_queue() -> None:
    """Others number their runs too."""
    other = SimpleNamespace(run_uuid="of another system")
    assert cluster.job_name(SimpleNamespace(scheduler=SimpleNamespace(_executor=other))) is None
    assert cluster.job_name(SimpleNamespace(scheduler=None)) is None
