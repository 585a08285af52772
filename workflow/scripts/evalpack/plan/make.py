"""How a plan is made: options of every model, packed onto the GPUs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from evalpack.errors import UserError
from evalpack.keys import digest
from evalpack.models import Model
from evalpack.plan import baselines, search
from evalpack.plan.bound import lower_bound
from evalpack.plan.calibration import UNCALIBRATED, Calibration
from evalpack.plan.cost import Cost
from evalpack.plan.fit import able_sizes, tp_sizes, utilization
from evalpack.plan.options import Option, options
from evalpack.plan.plan import Ask, Kept, ModelPlan, Plan
from evalpack.plan.pool import Pool
from evalpack.plan.schedule import Schedule
from evalpack.plan.settings import Settings, graph_arguments
from evalpack.plan.start import lead_seconds


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A model with its options, and those of one shard on any number of GPUs."""

    ask: Ask
    options: list[Option]
    undivided: Mapping[int, Option]
    inputs: str


def make_plan(
    asks: Sequence[Ask],
    pool: Pool,
    planning: Mapping[str, Any],
    *,
    keep: Mapping[str, Kept] | None = None,
    calibration: Calibration = UNCALIBRATED,
    solver_seconds: float = 0.0,
) -> Plan:
    """Plan a run; without network or NVML, and the same for the same arguments.

    With a solver the outcome depends on how far that gets in its time as well.

    Args:
        asks: the lineup.
        pool: the GPUs.
        planning: the section of the config (`shards`, `warm_start`, `cluster`, `queue_seconds`).
        keep: what an earlier plan of this run chose, by slug; it stands while its inputs do, so that
            another model changes neither GPUs nor shards of the others.
        calibration: what earlier jobs measured.
        solver_seconds: time for the integer program; 0 for list scheduling alone.

    Raises:
        UserError: if a model does not fit, or is cut into more shards than it has rows.
    """
    asks = sorted(asks, key=lambda ask: ask.model.slug)  # the order of the config changes nothing
    local = [ask for ask in asks if ask.model.backend != "openai"]
    here = not planning.get("cluster")  # jobs are forked on this machine only
    warm = pool.gpu_type is not None and here and bool(planning.get("warm_start", True))
    queue = 0.0 if here else float(planning.get("queue_seconds", 0.0))
    pool = replace(pool, storage=replace(pool.storage, warm=warm, queue=queue))
    lead = lead_seconds(pool.device) if warm and local else 0.0
    found = [_candidate(ask, pool, planning, (keep or {}), calibration) for ask in local]
    names = [candidate.ask.model.slug for candidate in found]
    lineup = [candidate.options for candidate in found]
    bound = lower_bound(lineup, pool.count)
    choice, schedule, solved_by = _packed(names, lineup, pool.count, bound, solver_seconds)
    ranks: dict[str, list[int]] = {name: [] for name in names}
    for place in sorted(schedule.placed, key=lambda place: place.job.shard):
        ranks[place.job.model].append(place.job.priority)
    planned = [
        _model_plan(candidate, option, tuple(ranks[name]), pool)
        for name, candidate, option in zip(names, found, choice, strict=True)
    ]
    planned.sort(key=lambda model: -max(model.priorities))
    undivided = [candidate.undivided for candidate in found]
    weights = [candidate.ask.model.weight_bytes for candidate in found]
    return Plan(
        gpu_type=pool.gpu_type,
        gpus=pool.count,
        models=(*planned, *(_elsewhere(ask, planning) for ask in asks if ask not in local)),
        lower_bound=lead + bound,
        one_at_a_time=lead + baselines.one_at_a_time(undivided),
        phases=lead + baselines.phases(undivided, weights, pool.count),
        plain_greedy=lead + baselines.plain_greedy(undivided, pool.count),
        solved_by=solved_by,
        lead=lead,
    )


def _packed(
    names: Sequence[str],
    lineup: Sequence[Sequence[Option]],
    gpus: int,
    bound: float,
    solver_seconds: float,
) -> tuple[search.Choice, Schedule, str]:
    """An option for each model, what runs when, and how that was found."""
    effort = search.THOROUGH if solver_seconds else search.QUICK
    packing = search.list_schedule(lineup, gpus, bound, effort)
    schedule = search.schedule(names, packing.choice, packing.order, gpus)
    solved_by = f"list scheduling, {packing.order}"
    if not solver_seconds or not lineup or schedule.makespan <= bound * search.GOOD:
        return packing.choice, schedule, solved_by
    from evalpack.plan.program import solve

    found = solve(names, lineup, gpus, packing.choice, schedule.makespan, seconds=solver_seconds)
    if found is not None and found.schedule.makespan < schedule.makespan:
        proven = "its optimum" if found.optimal else f"best of {solver_seconds:g} s"
        return found.choice, found.schedule, f"integer program ({found.solver}, {proven})"
    if found is not None and found.optimal:
        solved_by += f"; the integer program ({found.solver}) finds none shorter"
    return packing.choice, schedule, solved_by


def _candidate(
    ask: Ask,
    pool: Pool,
    planning: Mapping[str, Any],
    keep: Mapping[str, Kept],
    calibration: Calibration,
) -> _Candidate:
    model = ask.model
    inputs = _inputs(ask, pool, planning)
    kept = keep.get(model.slug)
    if kept is not None and kept.inputs != inputs:
        kept = None
    given = model.shards or planning.get("shards")
    _check_shards(ask, given)
    # vLLM wants room for one request of the length that it is told, whatever it is asked; where it
    # reads that from the checkpoint, there is no knowing.
    longest = 2**31 if ask.max_model_len is None else ask.max_model_len
    if pool.gpu_type is None:
        sizes, widths = [_cpu_tp(model)], [1]
        shards: list[int] | None = [int(given or 1)]
    else:
        work = replace(ask.work, longest=min(ask.work.longest, ask.max_model_len or 2**31))
        sizes = able_sizes(model, pool.device, pool.count, work)
        widths = [tp for tp in tp_sizes(model, min(4, pool.count)) if tp >= sizes[0]] or sizes
        shards = [int(given)] if given else None
        if model.engine.get("engines_per_gpu", 1) != 1:  # which engines that span GPUs cannot be
            sizes = widths = sizes[:1]
    if kept is not None:
        sizes = [kept.gpus] if kept.gpus in sizes else sizes
        shards = [kept.shards]

    def of(sizes: list[int], shards: list[int] | None) -> list[Option]:
        return options(
            model,
            pool.device,
            replace(calibration.workload(model, ask.work), longest=longest),
            pool.storage,
            sizes=sizes,
            shards=shards,
            gpus=pool.count,
            utilization=utilization(model),
            adjust=partial(calibration.option, model),
        )

    undivided = {width: of([width], [1])[0] for width in sorted({*widths, sizes[0]})}
    return _Candidate(ask, of(sizes, shards), undivided, inputs)


def _inputs(ask: Ask, pool: Pool, planning: Mapping[str, Any]) -> str:
    """What a model's GPUs and shards hang on while it is not begun anew.

    Not how much it is asked, nor how many GPUs there are: neither more samples nor a busy colleague
    moves what has begun.
    """
    model = ask.model
    shape = (
        model.weight_bytes,
        model.layers,
        model.attention_heads,
        model.kv_heads,
        model.head_size,
        model.kv_cache_bytes,
        model.tensor_parallel_size,
        model.shards,
        dict(model.engine),
    )
    return digest([shape, pool.device.name, planning.get("shards")])


def _check_shards(ask: Ask, shards: int | None) -> None:
    if shards is not None and ask.work.rows and shards > ask.work.rows:
        where = f"models.{ask.model.name}: shards" if ask.model.shards else "planning.shards"
        raise UserError(
            f"{where}: {shards} shards are more than the {ask.work.rows} answers that"
            f" {ask.model.name} is asked for; give at most so many, or leave it out"
        )


def _model_plan(
    candidate: _Candidate, option: Option, priorities: tuple[int, ...], pool: Pool
) -> ModelPlan:
    ask = candidate.ask
    return ModelPlan(
        name=ask.model.name,
        slug=ask.model.slug,
        gpus=option.gpus,
        shards=option.shards,
        priorities=priorities,
        max_model_len=ask.max_model_len,
        engine_args=_engine_args(option.settings, option.cost, pool),
        cost=option.cost,
        inputs=candidate.inputs,
    )


def _engine_args(settings: Settings, cost: Cost, pool: Pool) -> dict[str, Any]:
    if pool.gpu_type is None:
        return {"enforce_eager": True}
    args: dict[str, Any] = {"gpu_memory_utilization": settings.utilization}
    if settings.mode == "graphs":
        args |= graph_arguments(settings.max_num_seqs)
    else:
        args["enforce_eager"] = settings.mode == "eager"
    if cost.generate:  # something is known of the model
        args["max_num_seqs"] = settings.max_num_seqs
    if settings.engines > 1:
        args["engines_per_gpu"] = settings.engines
    if settings.kv_bytes is not None:
        args["kv_cache_memory_bytes"] = settings.kv_bytes
    return args


def _elsewhere(ask: Ask, planning: Mapping[str, Any]) -> ModelPlan:
    """A model on a server elsewhere: nothing to fit, nothing to load."""
    shards = int(ask.model.shards or planning.get("shards") or 1)
    _check_shards(ask, shards)
    nothing = Cost(0.0, 0.0, 0, 0, 0, 0)
    ranks = (1,) * shards
    return ModelPlan(ask.model.name, ask.model.slug, 0, shards, ranks, None, {}, nothing, "")


def _cpu_tp(model: Model) -> int:
    if (model.tensor_parallel_size or 1) > 1:
        raise UserError(
            f"models.{model.name}: tensor_parallel_size {model.tensor_parallel_size}"
            " needs GPUs, and this machine's CPU is one slot; leave it out, or set hardware.gpus"
        )
    return 1
