"""Which jobs come next."""

from collections.abc import Collection, Iterator
from typing import Any

from evalpack import weights
from evalpack.jobs import RunSpec
from evalpack.paths import RunPaths


def upcoming(spec: RunSpec, paths: RunPaths, begun: Collection[str]) -> Iterator[dict[str, Any]]:
    """The generate jobs that are still to come, in the order in which they will be started.

    Args:
        spec: the run's plan.
        paths: its files.
        begun: `task_name` of all jobs that have been started.
    """
    jobs = [
        (-priority, job, index)
        for job in spec.models
        if job.gpus and job.model.backend != "openai"
        for index, priority in enumerate(job.priorities, start=1)
    ]
    for _, job, index in sorted(jobs, key=lambda entry: entry[0]):
        task = {
            "rule": "generate",
            "run": str(paths.run),
            "slug": job.model.slug,
            "index": index,
            "of": job.shards,
            "params": job.params,
        }
        there = paths.shard(job.model.slug, index, job.shards).exists()
        if not there and name(task) not in begun and weights.at_hand(job.model):
            yield task


def name(task: dict[str, Any]) -> str:
    """What tells a task from all others of the run."""
    return "/".join(f"{key}={task[key]}" for key in sorted(task))
