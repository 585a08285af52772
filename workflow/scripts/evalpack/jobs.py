"""What one run asks of each model, resolved: the contents of plan.json.

Snakemake's main process makes it from the configuration and writes it as the run starts; jobs read
it, so that it cannot change under a running workflow.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from evalpack import keys
from evalpack.atomic import read_json, write_json
from evalpack.errors import UserError
from evalpack.models import Model

SCHEMA_VERSION = 2


@dataclass(frozen=True, slots=True)
class Asking:
    """A condition as one model is asked under it; `template` is the text of the Jinja template."""

    name: str
    sampling: Mapping[str, Any]
    n: int = 1
    template: str | None = None
    system_prompt: str | None = None

    @property
    def max_tokens(self) -> int:
        """Longest answer, in tokens."""
        return int(self.sampling["max_tokens"])


@dataclass(frozen=True, slots=True)
class ModelJob:
    """All jobs of one model: what it is asked, and how its work is cut up and run."""

    model: Model
    askings: tuple[Asking, ...]
    slug: str = ""
    gpus: int = 1
    shards: int = 1
    priorities: tuple[int, ...] = ()
    """Snakemake's, shard by shard."""
    predicted: Mapping[str, Any] = field(default_factory=dict)
    """What the plan expects of one of its jobs: seconds to start and to generate, batch, bytes."""
    max_model_len: int | None = None
    """Longest request in tokens, as configured; engines are started with what is needed of it."""
    engine_args: Mapping[str, Any] = field(default_factory=dict)
    inputs: str = ""
    """Digest of what GPUs and shards were chosen from: while it holds, they stay."""
    params: str = ""
    """`params_digest` as Snakemake's main process saw it; jobs elsewhere must not differ."""

    @property
    def priority(self) -> int:
        """The priority of its first job."""
        return max(self.priorities, default=1)

    def settings_digest(self, weights: str) -> str:
        """Digest of what decides this model's answers whatever is asked.

        Args:
            weights: identity of the weights (`evalpack.weights`): a commit or a content digest.
        """
        model = self.model
        return keys.digest(
            {
                "weights": weights,
                "adapter": model.adapter,
                "backend": model.backend,
                "dtype": model.dtype,
                "format": model.format,
                "chat_template": model.chat_template,
                "chat_template_kwargs": model.chat_template_kwargs,
                "engine": keys.output_args(self.engine_args),
            }
        )

    def params_digest(self, weights: str) -> str:
        """Digest of all settings that decide this model's rows: generate's `params`.

        The number of shards, GPUs, batch and memory never enter: replanning reruns nothing.
        """
        return keys.digest(
            {
                "settings": self.settings_digest(weights),
                "system_role": self.model.system_role,
                "evaluation_type": self.model.evaluation_type,
                "max_model_len": self.max_model_len,
                "askings": [asdict(asking) for asking in self.askings],
            }
        )


@dataclass(frozen=True, slots=True)
class RunSpec:
    """A run: its models' jobs and what the later stages need to know."""

    run: str
    models: tuple[ModelJob, ...]
    hardware: Mapping[str, Any]
    config: Mapping[str, Any]
    retries: int = 0
    """How often Snakemake starts a failed job again."""
    plan: Mapping[str, Any] = field(default_factory=dict)
    """What the plan comes to as a whole: makespan and bounds in seconds, and how it was found."""
    kept: Mapping[str, Any] = field(default_factory=dict)
    """GPUs, shards and inputs of models that have begun and are not in this plan, by slug."""

    def job(self, slug: str) -> ModelJob:
        """The job of the model whose file name is `slug`."""
        return next(job for job in self.models if job.model.slug == slug)

    def save(self, path: Path) -> None:
        """Write plan.json atomically."""
        write_json(path, {"schema_version": SCHEMA_VERSION, **asdict(self)})

    @classmethod
    def load(cls, path: Path) -> "RunSpec":
        """Read plan.json.

        Raises:
            UserError: if it is missing or of another version of evalpack.
        """
        value = read_json(path)
        if value is None or value.get("schema_version") != SCHEMA_VERSION:
            raise UserError(f"{path} is missing or from another version; run snakemake to make it")
        models = tuple(
            ModelJob(
                **{
                    **job,
                    "model": Model.from_mapping(job["model"]),
                    "askings": tuple(Asking(**asking) for asking in job["askings"]),
                    "priorities": tuple(job["priorities"]),
                }
            )
            for job in value["models"]
        )
        return cls(
            value["run"],
            models,
            value["hardware"],
            value["config"],
            value["retries"],
            value["plan"],
            value["kept"],
        )
