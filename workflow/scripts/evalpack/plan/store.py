"""Plans on disk: those that `evalpack plan` made, by a digest of what they were made from."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import evalpack
from evalpack.atomic import read_json, write_json
from evalpack.keys import digest
from evalpack.paths import RunPaths
from evalpack.plan.plan import SCHEMA_VERSION, Ask, Kept, ModelPlan, Plan
from evalpack.plan.pool import Pool


def inputs_digest(asks: Sequence[Ask], pool: Pool, planning: Mapping[str, Any]) -> str:
    """Digest of all that a plan is made from, but for calibration and earlier plans of the run."""
    models = [
        [ask.model.to_json(), asdict(ask.work), ask.max_model_len]
        for ask in sorted(asks, key=lambda ask: ask.model.slug)
    ]
    named = ("shards", "output_tokens", "max_model_len", "warm_start", "cluster", "queue_seconds")
    decisive = {key: planning.get(key) for key in named}
    return digest(
        [
            [SCHEMA_VERSION, evalpack.__version__],
            models,
            [asdict(pool.device), pool.count, asdict(pool.storage)],
            decisive,
        ]
    )


def find(folder: Path, inputs: str, keep: Mapping[str, Kept] | None = None) -> Plan | None:
    """The plan that was made from these inputs, if one was.

    Args:
        folder: where plans are kept.
        inputs: digest of the inputs.
        keep: what the run has begun with; a plan that was made before and moves it is none.
    """
    content = read_json(folder / f"{inputs}.json", default={})
    plan = Plan.from_json(content)
    if plan is None or any(_moves(model, keep or {}) for model in plan.models):
        return None
    return plan


def save(folder: Path, inputs: str, plan: Plan) -> None:
    """Keep a plan for the workflow to find."""
    write_json(folder / f"{inputs}.json", plan.to_json())


def kept(paths: RunPaths) -> dict[str, Kept]:
    """What plans of the run chose for each model whose jobs have begun, by slug.

    Models that the last plan left out are among them: they may come back.
    """
    last = read_json(paths.plan, default={})
    planned = {job.get("slug"): job for job in last.get("models", ())}
    return {
        slug: Kept(job["gpus"], job["shards"], job["inputs"])
        for slug, job in {**last.get("kept", {}), **planned}.items()
        if job.get("inputs") and paths.begun(slug)
    }


def _moves(model: ModelPlan, keep: Mapping[str, Kept]) -> bool:
    """Whether it gives a model that has begun other GPUs or shards, though its inputs are the same."""
    kept = keep.get(model.slug)
    if kept is None or kept.inputs != model.inputs:
        return False
    return (kept.gpus, kept.shards) != (model.gpus, model.shards)
