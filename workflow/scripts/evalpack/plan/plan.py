"""The plan of a run: how many GPUs each model takes, in how many shards, in what order, how long."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from evalpack.errors import UserError
from evalpack.keys import digest
from evalpack.models import Model
from evalpack.plan import baselines, search
from evalpack.plan.bound import lower_bound
from evalpack.plan.calibration import UNCALIBRATED, Calibration
from evalpack.plan.cost import Cost, Settings
from evalpack.plan.fit import able_sizes, tp_sizes, utilization
from evalpack.plan.options import Option, options
from evalpack.plan.pool import Pool
from evalpack.plan.schedule import Job, Schedule, simulate
from evalpack.plan.workload import Workload

SCHEMA_VERSION = 2


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

    `gpu_type` is None where jobs run on the CPU, which counts as one GPU.
    """

    gpu_type: str | None
    gpus: int
    models: tuple[ModelPlan, ...]
    lower_bound: float
    one_at_a_time: float
    phases: float
    plain_greedy: float
    solved_by: str

    def model(self, slug: str) -> ModelPlan:
        """The plan of the model whose file name is `slug`."""
        return next(model for model in self.models if model.slug == slug)

    @property
    def schedule(self) -> Schedule:
        """What runs when, as Snakemake's greedy scheduler will have it; servers elsewhere left out."""
        jobs = [job for model in self.models if model.gpus for job in model.jobs]
        return simulate(jobs, self.gpus)

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
        planning: the section of the config (`shards`).
        keep: what an earlier plan of this run chose, by slug; it stands while its inputs do, so that
            another model changes neither GPUs nor shards of the others.
        calibration: what earlier jobs measured.
        solver_seconds: time for the integer program; 0 for list scheduling alone.

    Raises:
        UserError: if a model does not fit, or is cut into more shards than it has rows.
    """
    asks = sorted(asks, key=lambda ask: ask.model.slug)  # the order of the config changes nothing
    local = [ask for ask in asks if ask.model.backend != "openai"]
    found = [_candidate(ask, pool, planning, (keep or {}), calibration) for ask in local]
    names = [candidate.ask.model.slug for candidate in found]
    lineup = [candidate.options for candidate in found]
    bound = lower_bound(lineup, pool.count)
    effort = search.THOROUGH if solver_seconds else search.QUICK
    packing = search.list_schedule(lineup, pool.count, bound, effort)
    choice = packing.choice
    schedule = search.schedule(names, choice, packing.order, pool.count)
    solved_by = f"list scheduling, {packing.order}"
    if solver_seconds and found and schedule.makespan > bound * search.GOOD:
        from evalpack.plan.program import solve

        solution = solve(
            names, lineup, pool.count, choice, schedule.makespan, seconds=solver_seconds
        )
        if solution is not None and solution.schedule.makespan < schedule.makespan:
            choice, schedule = solution.choice, solution.schedule
            proven = "its optimum" if solution.optimal else f"best of {solver_seconds:g} s"
            solved_by = f"integer program ({solution.solver}, {proven})"
        elif solution is not None and solution.optimal:
            solved_by += f"; the integer program ({solution.solver}) finds none shorter"
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
        lower_bound=bound,
        one_at_a_time=baselines.one_at_a_time(undivided),
        phases=baselines.phases(undivided, weights, pool.count),
        plain_greedy=baselines.plain_greedy(undivided, pool.count),
        solved_by=solved_by,
    )


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
    if pool.gpu_type is None:
        sizes, widths = [_cpu_tp(model)], [1]
        shards: list[int] | None = [int(given or 1)]
    else:
        work = replace(ask.work, longest=min(ask.work.longest, ask.max_model_len or 2**31))
        sizes = able_sizes(model, pool.device, pool.count, work)
        widths = [tp for tp in tp_sizes(model, min(4, pool.count)) if tp >= sizes[0]] or sizes
        shards = [int(given)] if given else None
    if kept is not None:
        sizes = [kept.gpus] if kept.gpus in sizes else sizes
        shards = [kept.shards]

    def of(sizes: list[int], shards: list[int] | None) -> list[Option]:
        found = options(
            model,
            pool.device,
            calibration.workload(model, ask.work),
            pool.storage,
            sizes=sizes,
            shards=shards,
            gpus=pool.count,
            utilization=utilization(model),
        )
        return [calibration.option(model, option) for option in found]

    undivided = {width: of([width], [1])[0] for width in sorted({*widths, sizes[0]})}
    return _Candidate(ask, of(sizes, shards), undivided, inputs)


def _inputs(ask: Ask, pool: Pool, planning: Mapping[str, Any]) -> str:
    """What a model's GPUs and shards hang on, but for how much it is asked: more samples move none."""
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
    return digest([shape, pool.device.name, pool.count, planning.get("shards")])


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
    args: dict[str, Any] = {
        "enforce_eager": settings.eager,
        "gpu_memory_utilization": settings.utilization,
    }
    if cost.generate:  # something is known of the model
        args["max_num_seqs"] = settings.max_num_seqs
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
