"""From configuration to run: what Snakemake's main process works out while it parses.

Pure but for a look at the weights at hand and, where the configuration names no GPUs, at NVML.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from evalpack import weights
from evalpack.config import Condition, Config
from evalpack.errors import UserError
from evalpack.jobs import Asking, ModelJob, RunSpec
from evalpack.models import Model
from evalpack.paths import RunPaths
from evalpack.plan import store
from evalpack.plan.make import make_plan
from evalpack.plan.plan import Ask, ModelPlan
from evalpack.plan.pool import Pool, find_pool
from evalpack.plan.workload import workload
from evalpack.samples import Glance, glance, load_template, read_sidecar, sidecar_key

MAX_MODEL_LEN = 8192
"""Longest request, in tokens, where nothing else is said: vLLM needs KV cache for one of them."""


def build(config: Config, limit: int | None) -> RunSpec:
    """Resolve a run: the plan of its models and what each of them is asked.

    The plan is the one that `evalpack plan` made from these inputs, else list scheduling's, in
    which models that the run had before keep their GPUs and shards.

    Args:
        config: the resolved configuration.
        limit: `--resources gpu=N`, if it was given.

    Raises:
        UserError: if a model does not fit, or a template is missing.
    """
    paths = RunPaths(config.run_dir)
    needs = needed(config, limit)
    planning = config.raw["planning"]
    keep = store.kept(paths)
    plan = store.find(paths.plans, store.inputs_digest(needs.asks, needs.pool, planning), keep)
    if plan is None:
        plan = make_plan(needs.asks, needs.pool, planning, keep=keep)
    jobs = tuple(
        _job(ask.model, needs.askings[ask.model.slug], plan.model(ask.model.slug), config)
        for ask in needs.asks
    )
    return RunSpec(
        run=config.run,
        models=jobs,
        hardware={
            "gpu_type": plan.gpu_type,
            "gpus": plan.gpus,
            "allowed": config.raw["hardware"].get("gpus"),
        },
        config=config.raw,
        plan={
            "makespan": round(plan.schedule.makespan, 1),
            "lower_bound": round(plan.lower_bound, 1),
            "one_at_a_time": round(plan.one_at_a_time, 1),
            "phases": round(plan.phases, 1),
            "solved_by": plan.solved_by,
        },
        kept={slug: asdict(choice) for slug, choice in keep.items() if slug not in needs.askings},
    )


@dataclass(frozen=True, slots=True)
class Needs:
    """What a plan is made from: the pool, and what each model is asked (`askings` by slug)."""

    pool: Pool
    asks: tuple[Ask, ...]
    askings: Mapping[str, tuple[Asking, ...]]
    samples: Glance


def needed(config: Config, limit: int | None) -> Needs:
    """Work out what a plan is made from.

    Args:
        config: the resolved configuration.
        limit: `--resources gpu=N`, if it was given.

    Raises:
        UserError: if a template is missing, or the hardware is not known.
    """
    planning = config.raw["planning"]
    samples = _samples(config)
    askings = {model.slug: _askings(model, config) for model in config.models}
    asks = tuple(
        Ask(
            model=model,
            work=workload(
                askings[model.slug],
                samples,
                planning.get("output_tokens"),
                chat_template=_with_template_text(model).chat_template or "",
            ),
            max_model_len=_max_model_len(model, planning, askings[model.slug]),
        )
        for model in config.models
    )
    return Needs(find_pool(limit, config.raw["hardware"]), asks, askings, samples)


def _samples(config: Config) -> Glance:
    """What is known of the samples: counted when they were prepared or planned, else a glance."""
    wanted = config.raw["samples"]
    settings = {key: wanted[key] for key in ("template", "limit", "columns")}
    path, paths = Path(wanted["path"]), RunPaths(config.run_dir)
    try:
        key = sidecar_key(path, **settings)
    except OSError:
        return glance(path, **settings)
    known = read_sidecar(paths.samples_report, key) or read_sidecar(paths.planned_samples, key)
    return Glance.of(known) if known is not None else glance(path, **settings)


def _max_model_len(
    model: Model, planning: Mapping[str, Any], askings: Sequence[Asking]
) -> int | None:
    """Longest request: as configured, else 8192 or what long answers take; at most the context."""
    if model.backend == "openai":
        return None
    configured = model.engine.get("max_model_len") or planning.get("max_model_len")
    answer = max(asking.max_tokens for asking in askings)
    longest = int(configured or max(MAX_MODEL_LEN, answer + MAX_MODEL_LEN // 2))
    if model.context_length is None:
        return int(configured) if configured else None  # vLLM reads it from config.json
    return min(longest, model.context_length)


def _job(model: Model, askings: tuple[Asking, ...], plan: ModelPlan, config: Config) -> ModelJob:
    # The plan has taken the context length into account already.
    engine = {k: v for k, v in model.engine.items() if k != "max_model_len"}
    job = ModelJob(
        model=_with_template_text(model),
        askings=askings,
        slug=model.slug,
        gpus=plan.gpus,
        shards=plan.shards,
        priorities=plan.priorities,
        predicted={
            "start_seconds": round(plan.cost.start, 1),
            "generate_seconds": round(plan.cost.generate, 1),
            "batch": plan.cost.batch,
            "peak_bytes": plan.cost.peak_bytes,
        },
        max_model_len=plan.max_model_len,
        engine_args={**plan.engine_args, **engine},
        inputs=plan.inputs,
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
