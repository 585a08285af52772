"""Runs whose jobs are on other machines: what that asks of the configuration, and what it leaves behind.

A Snakefile is parsed before Snakemake tells how it will run jobs, so a run is known to be one by
`planning.cluster`, or by default resources that only SLURM has (profiles/slurm sets them). Nothing is
read from this machine's NVML then, and jobs start as processes of their own.
"""

import contextlib
import math
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tenacity import RetryError, retry, retry_if_result, stop_after_delay, wait_fixed

from evalpack import weights
from evalpack.atomic import read_json, write_json
from evalpack.config import Config
from evalpack.errors import UserError
from evalpack.jobs import ModelJob

MARGIN = 1.5
"""Times the predicted seconds that a job may take; each retry gets as much again."""
SPARE_MINUTES = 15
"""More for what is not predicted: a cold file system, kernels that are built for the first time."""
UNKNOWN_MINUTES = 240
"""Of a job whose time is not known."""
CANCEL_SECONDS = 90.0
"""After which a cancelled job counts as stuck; SLURM's KillWait is 30 s."""
_SLURM_ONLY = ("nodes", "tasks", "slurm_partition", "slurm_account", "slurm_extra")
_SLURM_EXECUTOR = "snakemake_executor_plugin_slurm"


def recognised(workflow: Any, config: Config) -> Config:
    """The configuration, with `planning.cluster` set if the profile's default resources say so."""
    given = workflow.resource_settings.default_resources
    if config.on_cluster or given is None or not {*_SLURM_ONLY} & {*given}:
        return config
    planning = {**config.raw["planning"], "cluster": True}
    return replace(config, raw={**config.raw, "planning": planning})


def check_hardware(config: Config, limit: int | None) -> None:
    """Refuse a cluster's run that leaves the GPUs to NVML.

    Args:
        config: the resolved configuration.
        limit: `--resources gpu=N`, if it was given.

    Raises:
        UserError: if `hardware` does not say what the nodes have.
    """
    hardware = config.raw["hardware"]
    gpus = hardware.get("gpus")
    if isinstance(gpus, list):
        raise UserError(
            "hardware.gpus: on a cluster it is the number of GPUs that the run may have at a time, not a"
            f" list; SLURM chooses which. Write {len(gpus)}"
        )
    count = limit if limit is not None else gpus
    if gpus == 0 or (count is not None and hardware.get("gpu_type") is not None):
        return
    raise UserError(
        "hardware: jobs run on a cluster's nodes, which this machine cannot look at; say how many GPUs"
        " the run may have at a time and what they are, as in `hardware: {gpus: 8, gpu_type:"
        " A100-80GB}` (`gpus: 0` for nodes without GPUs)"
    )


def check_executor(*, here: bool, cluster: bool) -> None:
    """Refuse to mix: what is planned for a cluster must run there, and the other way round.

    Args:
        here: whether Snakemake runs jobs on this machine.
        cluster: `planning.cluster`.

    Raises:
        UserError: saying what to change.
    """
    if cluster and here:
        raise UserError(
            "planning.cluster is true, but jobs would run on this machine: start Snakemake with"
            " `--workflow-profile profiles/slurm`, or leave planning.cluster out"
        )
    if not cluster and not here:
        raise UserError(
            "jobs would run on other machines, but planning.cluster is not true; use"
            " `--workflow-profile profiles/slurm`, or set it in the config"
        )


def check_weights(jobs: Iterable[ModelJob]) -> None:
    """Refuse to queue jobs whose weights are not here: nodes often have no internet.

    Raises:
        UserError: naming the models and the command that fetches their weights.
    """
    missing = [
        job.model.name
        for job in jobs
        if job.model.backend != "openai" and weights.at_hand(job.model) is None
    ]
    if missing:
        raise UserError(
            f"weights are missing: {', '.join(missing)}. Fetch them before jobs wait in a queue, here or"
            " wherever there is internet: `snakemake stage` (a local path must be right)"
        )


def runtime_minutes(job: ModelJob, queue: float, attempt: int) -> int:
    """Minutes that a shard of a model may take once it has its GPUs.

    Args:
        job: the model's jobs, with their predicted seconds.
        queue: seconds of the predicted start that are the cluster's queue.
        attempt: number of the try, from 1.
    """
    said = job.predicted
    if job.gpus and not said["generate_seconds"]:
        return UNKNOWN_MINUTES * attempt
    seconds = MARGIN * (said["start_seconds"] - queue + said["generate_seconds"])
    minutes: int = math.ceil(seconds / 60) + SPARE_MINUTES
    return attempt * minutes


class Submitted:
    """The name under which a workflow's jobs stand in SLURM's queue, kept for the workflow after it."""

    def __init__(self, note: Path) -> None:
        self._note = note

    def replace(self, name: str | None) -> None:
        """End what a dead workflow left in the queue or on nodes, then write down our own name.

        Its jobs would write the same answers as ours. They are cancelled and waited for.

        Args:
            name: of our jobs; None if they do not go to SLURM.

        Raises:
            UserError: if they cannot be ended.
        """
        before = read_json(self._note, default={}).get("job_name")
        if before:
            _cancel(before)
        if name:
            write_json(self._note, {"job_name": name})
        else:
            self._note.unlink(missing_ok=True)

    def clear(self) -> None:
        """Forget the name if nothing stands under it: jobs that were just cancelled still end."""
        name = read_json(self._note, default={}).get("job_name")
        with contextlib.suppress(UserError):  # the next workflow asks again
            if name and not _queued(name):
                self._note.unlink(missing_ok=True)


def job_name(workflow: Any) -> str | None:
    """Name that Snakemake's SLURM executor gives all jobs of this workflow; None for another executor."""
    executor: Any = getattr(workflow.scheduler, "_executor", None)
    if type(executor).__module__.partition(".")[0] != _SLURM_EXECUTOR:
        return None
    return str(executor.run_uuid)


def _cancel(name: str) -> None:
    if not _queued(name):
        return
    _slurm("scancel", "--me", f"--name={name}")
    waiting = retry(
        retry=retry_if_result(bool), stop=stop_after_delay(CANCEL_SECONDS), wait=wait_fixed(1)
    )
    try:
        waiting(_queued)(name)
    except RetryError:
        raise UserError(
            f"jobs of an earlier workflow on this run do not end: {', '.join(_queued(name))}. Look at"
            f" them with `squeue --me --name={name}`, and try again when they are gone"
        ) from None


def _queued(name: str) -> list[str]:
    """Ids of the jobs with a name that wait, run or are being ended."""
    return _slurm("squeue", "--me", f"--name={name}", "--noheader", "--format=%i").split()


def _slurm(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except FileNotFoundError:
        raise UserError(
            f"an earlier workflow on this run left jobs with SLURM, and there is no `{command[0]}` here;"
            " go on from a machine that has it"
        ) from None
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = (getattr(error, "stderr", None) or "no answer within a minute").strip()
        raise UserError(f"SLURM does not answer (`{' '.join(command)}`): {said}") from None
    return done.stdout
