"""From configuration to run: what Snakemake's main process works out while it parses.

Pure but for a look at the weights at hand and, where the configuration names no GPUs, at NVML.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from evalpack import weights
from evalpack.atomic import read_json
from evalpack.config import Condition, Config
from evalpack.errors import UserError
from evalpack.jobs import Asking, ModelJob, RunSpec
from evalpack.models import Model
from evalpack.paths import RunPaths
from evalpack.plan import Hardware, ModelPlan, make_plan
from evalpack.samples import load_template

# Requests a model is taken to get before the samples are counted; it only scales the estimates.
_UNCOUNTED = 5000


def find_hardware(limit: int | None, hardware: Mapping[str, Any]) -> Hardware:
    """The pool of GPUs.

    Args:
        limit: `--resources gpu=N`, if it was given.
        hardware: the section of the config; it goes over what NVML sees.

    Returns:
        Count and type; on a machine without GPUs one slot without a type, whatever the limit.
    """
    wanted = hardware.get("gpus")
    count = len(wanted) if isinstance(wanted, list) else wanted
    gpu_type = hardware.get("gpu_type")
    if count is None or (gpu_type is None and count):
        from evalpack.leases import usable_devices

        seen = usable_devices(wanted)
        count = len(seen) if count is None else count
        gpu_type = gpu_type or (seen[0].name if seen else None)
    if gpu_type is None:
        return Hardware(gpu_type=None, gpus=1)
    return Hardware(gpu_type=gpu_type, gpus=limit if limit is not None else count)


def build(config: Config, limit: int | None) -> RunSpec:
    """Resolve a run: the plan of its models and what each of them is asked.

    Args:
        config: the resolved configuration.
        limit: `--resources gpu=N`, if it was given.

    Raises:
        UserError: if a model does not fit, or a template is missing.
    """
    hardware = find_hardware(limit, config.raw["hardware"])
    prepared = read_json(RunPaths(config.run_dir).samples_report, default={})
    rows = prepared.get("report", {}).get("samples", _UNCOUNTED)
    plan = make_plan(
        config.models,
        gpus=hardware.gpus,
        gpu_type=hardware.gpu_type,
        planning=config.raw["planning"],
        requests=rows * sum(condition.n for condition in config.conditions),
        output_tokens=config.sampling["max_tokens"],
    )
    jobs = tuple(_job(model, plan.model(model.slug), config) for model in config.models)
    pool = {"gpu_type": plan.hardware.gpu_type, "gpus": plan.hardware.gpus}
    return RunSpec(
        run=config.run,
        models=jobs,
        hardware={**pool, "allowed": config.raw["hardware"].get("gpus")},
        config=config.raw,
    )


def _job(model: Model, plan: ModelPlan, config: Config) -> ModelJob:
    # The plan has taken the context length into account already.
    engine = {k: v for k, v in model.engine.items() if k != "max_model_len"}
    job = ModelJob(
        model=_with_template_text(model),
        askings=_askings(model, config),
        gpus=plan.gpus,
        shards=plan.shards,
        priority=plan.priority,
        estimated_seconds=plan.estimated_seconds,
        max_model_len=plan.max_model_len,
        engine_args={**plan.engine_args, **engine},
    )
    return replace(job, params=job.params_digest(weights.fingerprint(model)))


def _askings(model: Model, config: Config) -> tuple[Asking, ...]:
    sampled = [(c, config.sampling_of(model, c)) for c in config.conditions]
    return tuple(
        Asking(
            name=condition.name,
            sampling=sampling,
            n=condition.n,
            template=_template_text(condition),
            system_prompt=model.system_prompt
            if condition.system_prompt is None
            else condition.system_prompt,
        )
        for condition, sampling in sampled
    )


def _template_text(condition: Condition) -> str | None:
    return load_template(condition.template).source if condition.template is not None else None


def _with_template_text(model: Model) -> Model:
    """A chat template given as a file is read now, so that its text enters keys and plan."""
    given = model.chat_template
    if given is None or "{" in given:  # a template in the entry itself
        return model
    try:
        text = Path(given).read_text(encoding="utf-8")
    except OSError:
        raise UserError(f"models.{model.name}: chat_template: there is no file {given}") from None
    return Model.from_mapping({**model.to_json(), "chat_template": text})
