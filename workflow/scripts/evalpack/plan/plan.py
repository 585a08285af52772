"""A plan of a run: how many GPUs each model takes, in how many shards, in what order, how long."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from evalpack.models import Model
from evalpack.plan.cost import Cost
from evalpack.plan.schedule import Job, Schedule, simulate
from evalpack.plan.workload import Workload

SCHEMA_VERSION = 3


@dataclass(frozen=True, slots=True)
class Ask:
    """A model to plan: what it is asked, and how long a request may be (tokens, None: as it likes)."""

    model: Model
    work: Workload
    max_model_len: int | None = None


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """How one model is run.

    `gpus` is the tensor parallel size, and so what each of its `shards` jobs takes: 1 on the CPU,
    which is one slot, 0 for a server elsewhere. `priorities` are Snakemake's, shard by shard.
    `engine_args` are the plan's own choices; what the run and the model say goes over them. `cost`
    is that of one job. `inputs` is a digest of what the choice was made from.
    """

    name: str
    slug: str
    gpus: int
    shards: int
    priorities: tuple[int, ...]
    max_model_len: int | None
    engine_args: Mapping[str, Any]
    cost: Cost
    inputs: str

    @property
    def jobs(self) -> list[Job]:
        """Its jobs, as the scheduler sees them."""
        return [
            Job(
                model=self.name,
                shard=i + 1,
                shards=self.shards,
                gpus=self.gpus,
                start=self.cost.start,
                generate=self.cost.generate,
                priority=rank,
                end=self.cost.end,
            )
            for i, rank in enumerate(self.priorities)
        ]


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan of all models, those that start first in front; times in seconds.

    `gpu_type` is None where jobs run on the CPU, which counts as one GPU. No job begins before
    `lead`, when the process that jobs are forked from is ready; all sums of the plan include it.
    """

    gpu_type: str | None
    gpus: int
    models: tuple[ModelPlan, ...]
    lower_bound: float
    one_at_a_time: float
    phases: float
    plain_greedy: float
    solved_by: str
    lead: float = 0.0

    def model(self, slug: str) -> ModelPlan:
        """The plan of the model whose file name is `slug`."""
        return next(model for model in self.models if model.slug == slug)

    @property
    def schedule(self) -> Schedule:
        """What runs when, as Snakemake's greedy scheduler will have it; servers elsewhere left out."""
        jobs = [job for model in self.models if model.gpus for job in model.jobs]
        return simulate(jobs, self.gpus, self.lead)

    def to_json(self) -> dict[str, Any]:
        """A mapping of JSON values, the inverse of `from_json`."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Plan | None":
        """Read what `to_json` wrote; None if it is damaged, or another version's."""
        if data.get("schema_version") != SCHEMA_VERSION:
            return None
        values = {key: value for key, value in data.items() if key != "schema_version"}
        try:
            values["models"] = tuple(
                ModelPlan(
                    **{
                        **model,
                        "priorities": tuple(model["priorities"]),
                        "cost": Cost(**model["cost"]),
                    }
                )
                for model in values["models"]
            )
            return cls(**values)
        except (KeyError, TypeError):
            return None


@dataclass(frozen=True, slots=True)
class Kept:
    """What an earlier plan of the run chose for a model, and the digest of what it was chosen from."""

    gpus: int
    shards: int
    inputs: str
