"""From a plan to its report: the rows, the totals, and what the reader must know."""

from collections.abc import Iterator, Mapping
from typing import Any

from evalpack.build import Needs
from evalpack.plan.calibration import UNCALIBRATED, Calibration
from evalpack.plan.plan import ModelPlan, Plan
from evalpack.plan.report import ModelRow, PlanReport, duration, size_label
from evalpack.plan.schedule import Schedule


def report(
    run: str,
    plan: Plan,
    needs: Needs,
    hardware: Mapping[str, Any],
    calibration: Calibration,
    history: Calibration = UNCALIBRATED,
) -> PlanReport:
    """What a plan comes to.

    Args:
        run: name of the run.
        plan: the plan.
        needs: what it was made from.
        hardware: the section of the config, for the price.
        calibration: what the plan was made with.
        history: what it could have been made with.
    """
    schedule = plan.schedule
    asks = {ask.model.slug: ask for ask in needs.asks}
    rows = [
        _row(model, asks[model.slug].model.weight_bytes, asks[model.slug].work.requests, schedule)
        for model in plan.models
        if model.gpus
    ]
    return PlanReport(
        run=run,
        gpu_type=plan.gpu_type or "CPU",
        gpu_memory=needs.pool.device.memory,
        gpus=plan.gpus,
        rows=rows,
        schedule=schedule,
        one_at_a_time=plan.one_at_a_time,
        phases=plan.phases,
        lower_bound=plan.lower_bound,
        solved_by=plan.solved_by,
        price=hardware.get("price_per_gpu_hour"),
        currency=hardware["currency"],
        notes=list(_notes(plan, needs, calibration, history)),
    )


def _row(model: ModelPlan, weight_bytes: int | None, requests: int, schedule: Schedule) -> ModelRow:
    placed = [place for place in schedule.placed if place.job.model == model.name]
    return ModelRow(
        model=model.name,
        slug=model.slug,
        size=size_label(weight_bytes),
        weight_bytes=weight_bytes,
        gpus=model.gpus,
        shards=model.shards,
        weights_each=model.cost.weight_bytes,
        kv_each=model.cost.kv_bytes,
        other_each=model.cost.other_bytes,
        batch=model.cost.batch,
        requests=requests,
        start=model.cost.start,
        generate=model.cost.generate,
        begin=min(place.begin for place in placed),
        finish=max(place.end for place in placed),
        engine_args=model.engine_args,
    )


def _notes(
    plan: Plan, needs: Needs, calibration: Calibration, history: Calibration
) -> Iterator[str]:
    samples, asks = needs.samples, needs.asks
    most, least = (pick(ask.work.requests for ask in asks) for pick in (max, min))
    about = "" if samples.exact else "about "
    generations = f"{most:,}" if most == least else f"{least:,} to {most:,}"
    shared = (
        "; equal prompts at temperature 0 are generated once" if least < samples.samples else ""
    )
    yield (
        f"{about}{_count(samples.samples, 'sample')} make {generations} generations a"
        f" model{shared}."
    )
    local = [ask for ask in asks if ask.model.backend != "openai"]
    unmeasured = [ask for ask in local if not calibration.of(ask.model)]
    if any(ask.work.output_tokens >= ask.work.most_output for ask in unmeasured):
        known = any(history.of(ask.model) for ask in unmeasured)
        mend = "`evalpack plan --calibrated`" if known else "`evalpack pilot`"
        yield (
            f"Answers are taken to be as long as max_tokens allows; {mend}, or"
            " planning.output_tokens, makes the times truer."
        )
    if calibration.measurements:
        own = len(local) - len(unmeasured)
        yield (
            f"Times are calibrated by {_count(len(calibration.measurements), 'finished job')};"
            f" {own} of {_count(len(local), 'model')} by jobs of their own."
        )
    if plan.lead:
        yield (
            f"The first {duration(plan.lead)} import vLLM, once for all jobs, and no GPU works; it is"
            " in every sum."
        )
        yield (
            "The first job ever on a machine starts about 20 s later, as does that of the first"
            " mixture of experts: kernels are built."
        )
    elif plan.gpu_type is not None and local:
        yield (
            "The first job ever on a machine starts about 40 s later, and the first of each further"
            " architecture about 20 s: vLLM builds kernels and looks into the model."
        )
    unknown = [m.name for m in plan.models if m.gpus and not m.cost.generate]
    if unknown:
        yield (
            f"Nothing is known of the speed of {', '.join(unknown)}: weight_bytes and"
            " active_parameters are missing in config/models.yaml."
        )
    elsewhere = [model.name for model in plan.models if not model.gpus]
    if elsewhere:
        yield f"On servers elsewhere, and in no GPU's time: {', '.join(elsewhere)}."


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
