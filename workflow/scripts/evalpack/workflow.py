"""The run as the rules see it: paths, parameters, priorities and resources, worked out once.

Rules hold no logic; whatever they need is an attribute of `WorkflowRun`.
"""

import contextlib
import gc
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

from evalpack import attempts, cluster, config, extract, keys, leases, processes, telemetry, weights
from evalpack.atomic import sweep
from evalpack.build import build
from evalpack.errors import UserError
from evalpack.jobs import ModelJob, RunSpec
from evalpack.lookups import ByAttempt, ByShard, BySlug
from evalpack.paths import RunPaths
from evalpack.plan import calibration
from evalpack.project import MODELS_YAML
from evalpack.runlock import RunLock
from evalpack.samples import resolve_template
from evalpack.warm.start import WarmServer

PARALLEL_DOWNLOADS = 2
PILOT_ANSWERS = 64
_ON_GPUS = ("generate", "pilot_model")
T = TypeVar("T")


class WorkflowRun:
    """One run of the workflow. Values are by slug, so that rules look them up and no more."""

    def __init__(self, workflow: Any, settings: config.Config, spec: RunSpec) -> None:
        processes.own_jobs()
        self._workflow = workflow
        self.config = settings
        self.spec = spec
        self.paths = RunPaths(settings.run_dir)
        self.jobs: Mapping[str, ModelJob] = {job.model.slug: job for job in spec.models}
        counts = attempts.retries(self.paths.retries)
        self.retries = BySlug({slug: counts.get(slug, 0) for slug in self.jobs})
        self.settings = self._by_slug(lambda job: job.params)
        self.gpus = self._by_slug(lambda job: job.gpus)
        self.shards = self._by_slug(self._shard_files)
        self.shard_counts = self._by_slug(lambda job: job.shards)
        self.priorities = self._by_slug(lambda job: job.priority)
        self.shard_priorities = ByShard({s: job.priorities for s, job in self.jobs.items()})
        self._lock = RunLock(self.paths.lock)
        self._submitted = cluster.Submitted(self.paths.submitted)
        self._warm = WarmServer()
        self._started = time.time()

    @classmethod
    def from_snakemake(cls, workflow: Any, raw: Mapping[str, Any]) -> "WorkflowRun":
        """Resolve the run while Snakemake parses; a job's own Snakemake reads plan.json instead.

        Raises:
            SystemExit: with one line, for a mistake in the configuration.
        """
        source = " + ".join(os.path.relpath(path) for path in workflow.configfiles) or "--config"
        limit = workflow.global_resources.get("gpu").value
        try:
            settings = cluster.recognised(workflow, config.load(raw, MODELS_YAML, source))
            plan = RunPaths(settings.run_dir).plan
            if settings.on_cluster and workflow.is_main_process:
                cluster.check_hardware(settings, limit)
            spec = build(settings, limit) if workflow.is_main_process else RunSpec.load(plan)
            if limit is None:
                workflow.register_resource("gpu", spec.hardware["gpus"])
            if workflow.global_resources.get("download").value is None:
                workflow.register_resource("download", PARALLEL_DOWNLOADS)
            _collect_less_garbage()
            return cls(workflow, settings, spec)
        except UserError as error:
            raise _spoken(error) from None

    def start(self) -> None:
        """Take the run and write its plan; refused while another workflow owns it.

        What a dead workflow left running on this machine's GPUs, or in SLURM's queue, is ended first.
        """
        retries = self._workflow.execution_settings.retries
        here = self._workflow.local_exec
        try:
            cluster.check_executor(here=here, cluster=self.config.on_cluster)
            if not here:
                cluster.check_weights(self._jobs_to_run())
            self._lock.acquire()
            self._submitted.replace(None if here else cluster.job_name(self._workflow))
            leases.clean_up()
            sweep(self.paths.run)
            replace(self.spec, retries=retries).save(self.paths.plan)
        except UserError as error:
            raise _spoken(error) from None
        except OSError as error:
            reason = f"{self.paths.run} cannot be written to: {error.strerror}"
            raise _spoken(UserError(reason)) from None
        if here:
            self._warm.start(self.spec, self.paths)

    def finish(self) -> None:
        """Give the run up, and say what it came to if its files are new."""
        self._warm.stop()
        with contextlib.suppress(OSError):
            self._submitted.clear()
        leases.clean_up()
        with contextlib.suppress(OSError):
            telemetry.write_summary(self.paths.run, gpus=self.spec.hardware["gpus"])
        with contextlib.suppress(OSError):  # a later run, or `evalpack plan`, gathers it as well
            calibration.gather(self.config.results)
        self._lock.release()
        metadata = self.paths.metadata(self.config.run)
        if metadata.exists() and metadata.stat().st_mtime >= self._started:
            from evalpack.summary import print_summary

            print_summary(metadata)

    def results(self, path: str) -> str:
        """A path in the run's folder, wildcards and all."""
        return str(self.paths.run / path)

    def log(self, path: str) -> str:
        """A log file of the run."""
        return str(self.paths.run / "logs" / path)

    @property
    def environment(self) -> str:
        """Conda environment of the jobs (`--sdm conda`), relative to the rules."""
        on_cpu = self.spec.hardware["gpu_type"] is None
        return f"../../envs/{'cpu' if on_cpu else 'gpu'}.yaml"

    @property
    def quality(self) -> str:
        """The last file of a run: written when every model answered enough."""
        return str(self.paths.quality)

    @property
    def integration(self) -> str:
        """The records for downstream tools."""
        return str(self.paths.integration(self.config.run))

    @property
    def metadata(self) -> str:
        """The metadata for downstream tools."""
        return str(self.paths.metadata(self.config.run))

    @property
    def all_responses(self) -> list[str]:
        """Response files in the order of the lineup."""
        return [str(self.paths.responses(slug)) for slug in self.jobs]

    @property
    def all_pilots(self) -> list[str]:
        """What pilots of all models on GPUs measured."""
        return [str(self.paths.pilot(slug)) for slug, job in self.jobs.items() if job.gpus]

    @property
    def pilot_answers(self) -> int:
        """Answers that a pilot asks for."""
        return PILOT_ANSWERS

    @property
    def all_weights(self) -> list[str]:
        """Descriptions of all weights that are files."""
        return [
            str(self.paths.weights(slug))
            for slug, job in self.jobs.items()
            if job.model.backend != "openai"
        ]

    @cached_property
    def revisions(self) -> BySlug[str]:
        """What is staged."""
        return self._by_slug(lambda job: weights.fingerprint(job.model))

    @cached_property
    def staging_attempts(self) -> BySlug[int]:
        """Changes where staging failed, or what was staged is gone: stage again."""
        return self._by_slug(lambda job: weights.attempts(job.model, self.paths.weights(job.slug)))

    @property
    def rubric_state(self) -> str:
        """Which rubric the judge's requests are written with."""
        return keys.digest(_state(self.config.raw["judge"]["rubric"]))

    @cached_property
    def weights_to_wait_for(self) -> BySlug[list[str]]:
        """Weights that generating waits for: those that are not on this machine."""
        return self._by_slug(
            lambda job: (
                []
                if job.model.backend == "openai" or weights.at_hand(job.model)
                else [str(self.paths.weights(job.slug))]
            )
        )

    @cached_property
    def threads(self) -> BySlug[int]:
        """CPU threads of a generate job: all of them where the CPU is the device, else one a GPU."""
        on_cpu = self.spec.hardware["gpu_type"] is None
        every = os.cpu_count() or 1
        return self._by_slug(lambda job: every if on_cpu and job.gpus else max(1, job.gpus))

    @cached_property
    def runtimes(self) -> ByAttempt[int]:
        """Minutes that SLURM gives a generate job, more at each attempt."""
        planning = self.spec.config["planning"]
        queue = planning.get("queue_seconds", 0.0) if planning.get("cluster") else 0.0
        minutes = cluster.runtime_minutes
        return ByAttempt({slug: partial(minutes, job, queue) for slug, job in self.jobs.items()})

    @property
    def above_generating(self) -> int:
        """Priority of the CPU stages: they are short, and the run ends with them."""
        return 1 + max(job.priority for job in self.spec.models)

    @property
    def conditions(self) -> list[str]:
        """Names of the conditions; the first is the one that downstream tools see."""
        return [condition.name for condition in self.config.conditions]

    @property
    def sample_settings(self) -> dict[str, Any]:
        """What decides samples.parquet, in `files` also another file under an older time."""
        settings = dict(self.config.raw["samples"])
        files = [settings.pop("path"), *self.sample_template]
        return {**settings, "files": keys.digest([_state(file) for file in files])}

    @cached_property
    def sample_template(self) -> list[str]:
        """The template that makes prompts, as an input file."""
        name = self.config.raw["samples"]["template"]
        try:
            return [str(resolve_template(name))] if name is not None else []
        except UserError as error:
            raise _spoken(error) from None

    @property
    def parser(self) -> str:
        """Name of the parser."""
        return str(self.config.raw["parsers"][0])

    @property
    def parser_digest(self) -> str:
        """Digest of the parser's code: editing it parses anew."""
        return extract.parser_digest(self.parser)

    def _jobs_to_run(self) -> list[ModelJob]:
        """Models that this workflow will generate with."""
        needed = self._workflow.dag.needrun_jobs()
        slugs = {job.wildcards.slug for job in needed if job.rule.name in _ON_GPUS}
        return [job for slug, job in self.jobs.items() if slug in slugs]

    def _by_slug(self, value: Callable[[ModelJob], T]) -> BySlug[T]:
        return BySlug({slug: value(job) for slug, job in self.jobs.items()})

    def _shard_files(self, job: ModelJob) -> list[str]:
        return [str(self.paths.shard(job.slug, i + 1, job.shards)) for i in range(job.shards)]


def _collect_less_garbage() -> None:
    """Look for garbage less often: Snakemake keeps its jobs to the end, so there is little to find."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _state(path: str) -> list[Any]:
    """A file's path, size and time: another file is noticed even if it is older."""
    try:
        found = Path(path).stat()
    except OSError:
        return [path, None]
    return [path, found.st_size, found.st_mtime_ns]


def _spoken(error: UserError) -> SystemExit:
    """End Snakemake with the sentence alone; its own errors would add the rules' source lines."""
    return SystemExit(f"error: {error}")
