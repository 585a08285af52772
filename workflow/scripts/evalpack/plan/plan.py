"""The plan of a run: how many GPUs each model takes, in how many shards, and in what order."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from evalpack.errors import UserError
from evalpack.models import Model
from evalpack.plan.estimate import generation_seconds, start_seconds
from evalpack.plan.fit import PROMPT_TOKENS, smallest_tp, utilization
from evalpack.plan.hardware import CPU, Device, gpu
from evalpack.plan.schedule import priorities, widest_then_longest

SCHEMA_VERSION = 1
MAX_MODEL_LEN = 8192
"""Longest request, in tokens, where nothing else is said: vLLM needs KV cache for one of them."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """The pool of GPUs, all of one type; without a type it is the CPU, one slot."""

    gpu_type: str | None
    gpus: int


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """How one model is run.

    `gpus` is the tensor parallel size, and so what each of its `shards` jobs takes: 1 on the CPU,
    which is one slot, 0 for a server elsewhere. `engine_args` are the plan's own choices; what the
    run and the model say goes over them. `estimated_seconds` is for one job.
    """

    name: str
    slug: str
    gpus: int
    shards: int
    priority: int
    max_model_len: int | None
    engine_args: Mapping[str, Any]
    estimated_seconds: float


@dataclass(frozen=True, slots=True)
class Plan:
    """The models in the order in which their jobs should start."""

    hardware: Hardware
    models: tuple[ModelPlan, ...]

    def model(self, slug: str) -> ModelPlan:
        """The plan of the model whose file name is `slug`."""
        return next(model for model in self.models if model.slug == slug)

    def to_json(self) -> dict[str, Any]:
        """A mapping of JSON values, the inverse of `from_json`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "hardware": asdict(self.hardware),
            "models": [asdict(model) for model in self.models],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Plan":
        """Read what `to_json` wrote.

        Raises:
            UserError: if another version of evalpack wrote it.
        """
        if data.get("schema_version") != SCHEMA_VERSION:
            raise UserError(
                f"plan.json has schema_version {data.get('schema_version')}, this evalpack reads"
                f" {SCHEMA_VERSION}; remove the file to plan again"
            )
        return cls(
            hardware=Hardware(**data["hardware"]),
            models=tuple(ModelPlan(**model) for model in data["models"]),
        )


def make_plan(
    models: Sequence[Model],
    *,
    gpus: int,
    gpu_type: str | None,
    planning: Mapping[str, Any],
    requests: int,
    output_tokens: int,
) -> Plan:
    """Plan a run; pure and deterministic, without network or NVML.

    A model's GPUs and shards depend on itself and the hardware only, so that another model in the
    lineup changes neither.

    Args:
        models: the lineup.
        gpus: GPUs there are; 0 for the CPU.
        gpu_type: their type, as in `hardware.GPUS` or as NVML names it; None for the CPU.
        planning: the section of the config (`shards`, `max_model_len`).
        requests: requests a model is asked, over all samples, conditions and draws.
        output_tokens: most tokens of one answer, where a model's own sampling does not say.

    Raises:
        UserError: if a model does not fit, or the hardware is not known.
    """
    device, hardware = _pool(gpus, gpu_type)
    planned = [
        _plan_model(
            model,
            device,
            hardware.gpus,
            planning=planning,
            requests=requests,
            output_tokens=output_tokens,
        )
        for model in models
    ]
    ordered = widest_then_longest(planned)
    ranks = priorities(ordered)
    return Plan(hardware, tuple(replace(model, priority=ranks[model.name]) for model in ordered))


def _pool(gpus: int, gpu_type: str | None) -> tuple[Device, Hardware]:
    if gpus == 0 or (gpus == 1 and gpu_type is None):
        return CPU, Hardware(gpu_type=None, gpus=1)
    if gpu_type is None:
        raise UserError(f"hardware.gpu_type must say what the {gpus} GPUs of hardware.gpus are")
    device = gpu(gpu_type)
    return device, Hardware(gpu_type=device.name, gpus=gpus)


def _plan_model(
    model: Model,
    device: Device,
    gpus: int,
    *,
    planning: Mapping[str, Any],
    requests: int,
    output_tokens: int,
) -> ModelPlan:
    shards = int(model.shards or planning.get("shards") or 1)
    output_tokens = int(model.sampling.get("max_tokens") or output_tokens)
    if model.backend == "openai":  # a server elsewhere: nothing to fit, nothing to load
        return ModelPlan(model.name, model.slug, 0, shards, 0, None, {}, 0.0)
    max_model_len = _max_model_len(model, planning, output_tokens)
    engine_args: dict[str, Any] = {
        "enforce_eager": True
    }  # as fast at full batch, starts 30 s sooner
    if device is CPU:
        tp = _cpu_tp(model)
    else:
        tp = smallest_tp(
            model, device, gpus, max_model_len=max_model_len, output_tokens=output_tokens
        )
        engine_args["gpu_memory_utilization"] = utilization(model)
    seconds = start_seconds(model) + generation_seconds(
        model, device, tp, -(-requests // shards), output_tokens
    )
    return ModelPlan(
        name=model.name,
        slug=model.slug,
        gpus=tp,
        shards=shards,
        priority=0,
        max_model_len=max_model_len,
        engine_args=engine_args,
        estimated_seconds=round(seconds, 1),
    )


def _max_model_len(model: Model, planning: Mapping[str, Any], output_tokens: int) -> int | None:
    """Longest request: as configured, else 8192 or what long answers take; at most the context."""
    configured = model.engine.get("max_model_len") or planning.get("max_model_len")
    longest = int(configured or max(MAX_MODEL_LEN, output_tokens + 16 * PROMPT_TOKENS))
    if model.context_length is None:
        return int(configured) if configured else None  # vLLM reads it from config.json
    return min(longest, model.context_length)


def _cpu_tp(model: Model) -> int:
    if (model.tensor_parallel_size or 1) > 1:
        raise UserError(
            f"models.{model.name}: tensor_parallel_size {model.tensor_parallel_size}"
            " needs GPUs, and this machine's CPU is one slot; leave it out, or set hardware.gpus"
        )
    return 1
