"""The plan: what runs on how many GPUs, in what order, and that it stays so."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lineups import ANY_NAMES, LARGE, MODELS, SMALL, TEN, plan, pool, work

from evalpack.errors import UserError
from evalpack.keys import digest
from evalpack.models import Model
from evalpack.plan.calibration import UNCALIBRATED, Calibration, Measurement, source_of
from evalpack.plan.hardware import CPU
from evalpack.plan.make import make_plan
from evalpack.plan.plan import Ask, Kept, ModelPlan, Plan
from evalpack.plan.pool import Pool
from evalpack.plan.report import size_label
from evalpack.shards import shard_of

pools = st.sampled_from([(4, "A100-80GB"), (8, "A100-40GB"), (4, "H100-80GB"), (8, "H200-141GB")])


def kept(planned: Plan) -> dict[str, Kept]:
    """What `evalpack.plan.store.kept` reads of a plan whose models have all begun."""
    return {m.slug: Kept(m.gpus, m.shards, m.inputs) for m in planned.models}


def cut(planned: Plan) -> dict[str, tuple[int, int]]:
    return {m.slug: (m.gpus, m.shards) for m in planned.models}


def by_name(planned: Plan) -> dict[str, ModelPlan]:
    return {m.name: m for m in planned.models}


def test_the_ten_models_on_four_a100() -> None:
    planned = by_name(plan(TEN))
    assert planned["gpt-oss-120b"].gpus == 1  # 65 GB in MXFP4
    assert {planned[name].gpus for name in SMALL} == {1}
    # Whichever is faster overall: GPUs and shards of a model depend on the lineup as a whole.
    assert planned["qwen2.5-32b"].gpus in (1, 2)
    assert planned["llama3.3-70b"].gpus in (2, 4)
    assert planned["qwen2.5-72b"].gpus in (2, 4)


def test_the_ten_models_are_near_the_bound_and_ahead_of_what_people_do() -> None:
    planned = plan(TEN)
    makespan = planned.schedule.makespan
    assert planned.lower_bound <= makespan <= 1.05 * planned.lower_bound
    assert makespan < 0.95 * planned.phases
    assert makespan < 0.4 * planned.one_at_a_time
    assert makespan <= planned.plain_greedy


def test_users_know_the_models_as_small_medium_and_large() -> None:
    labels = {name: size_label(MODELS[name].weight_bytes) for name in (*SMALL, *LARGE)}
    assert {labels[name] for name in SMALL} == {"small"}
    assert [labels[name] for name in LARGE] == ["medium", "large", "large", "medium"]
    assert size_label(None) == "–"


def test_a_single_large_model_takes_all_gpus_in_the_quicker_way() -> None:
    # Measured on A100: one engine on four makes a few more tokens a second than two on two each.
    alone = plan([MODELS["llama3.3-70b"]])
    assert cut(alone) == {"llama3.3-70b": (4, 1)}
    assert alone.schedule.makespan <= alone.phases * (1 + 1e-9)


def test_a_small_model_alone_is_cut_where_that_is_worth_another_load() -> None:
    long, short = (plan([MODELS["llama3.1:8b"]], asked=work(n)) for n in (50_000, 50))
    assert cut(long) == {"llama3.1-8b": (1, 4)}
    assert long.schedule.makespan < 0.5 * long.one_at_a_time
    # Fifty requests end when their last token does, however few share an engine.
    assert short.schedule.gpu_seconds < 4 * short.one_at_a_time
    assert short.schedule.makespan <= short.one_at_a_time


def test_a_shard_takes_its_share_of_the_time_and_the_whole_of_the_start() -> None:
    whole, half = (
        plan([MODELS["llama3.1:8b"]], planning={"shards": n}).models[0].cost for n in (1, 2)
    )
    assert half.start == pytest.approx(
        whole.start, abs=2
    )  # graphs pay off for all, or not for half
    assert 0.5 * whole.generate < half.generate < 0.6 * whole.generate


def test_shards_are_the_models_then_the_configs_then_the_plans() -> None:
    models = [MODELS["llama3.1:8b"], replace(MODELS["mistral:7b"], shards=3)]
    assert plan(models).model("mistral-7b").shards == 3
    sharded = plan(models, planning={"shards": 2})
    assert cut(sharded) == {"llama3.1-8b": (1, 2), "mistral-7b": (1, 3)}


@settings(max_examples=30, deadline=None)
@given(ANY_NAMES, pools)
def test_priorities_reproduce_the_order_of_the_plan(names: list[str], on: tuple[int, str]) -> None:
    planned = plan([MODELS[n] for n in names], *on)
    every = [rank for model in planned.models for rank in model.priorities]
    assert sorted(every) == list(range(1, len(every) + 1))
    firsts = [max(model.priorities) for model in planned.models]
    assert firsts == sorted(firsts, reverse=True)
    for model in planned.models:
        assert len(model.priorities) == model.shards
        assert [job.priority for job in model.jobs] == list(model.priorities)


def test_the_largest_start_first_and_the_smallest_last() -> None:
    names = [model.name for model in plan(TEN).models]
    assert set(names[:2]) == {"qwen2.5-72b", "llama3.3-70b"}
    assert names[-1] == "llama3.2:1b"


@settings(max_examples=30, deadline=None)
@given(ANY_NAMES, pools, st.lists(st.text(), unique=True, max_size=40))
def test_every_key_is_in_exactly_one_shard(
    names: list[str], on: tuple[int, str], texts: list[str]
) -> None:
    keys = [digest(text) for text in texts]
    for model in plan([MODELS[n] for n in names], *on).models:
        shards = [
            [key for key in keys if shard_of(key, model.shards) == job.shard] for job in model.jobs
        ]
        assert [job.shard for job in model.jobs] == list(range(1, model.shards + 1))
        assert sorted(key for shard in shards for key in shard) == sorted(keys)


@settings(max_examples=30, deadline=None)
@given(ANY_NAMES, pools)
def test_no_job_is_wider_than_the_pool(names: list[str], on: tuple[int, str]) -> None:
    planned = plan([MODELS[n] for n in names], *on)
    assert all(0 < model.gpus <= planned.gpus for model in planned.models)
    assert all(model.cost.peak_bytes <= pool(*on).device.memory for model in planned.models)


# The plan of a model depends on the others of the lineup. What has begun stays as it was.
@settings(max_examples=30, deadline=None)
@given(ANY_NAMES, st.sampled_from(sorted(MODELS)), pools)
def test_another_model_moves_neither_gpus_nor_shards_of_those_that_have_begun(
    names: list[str], added: str, on: tuple[int, str]
) -> None:
    before = plan([MODELS[n] for n in names], *on)
    models = [MODELS[n] for n in dict.fromkeys([*names, added])]
    after = plan(models, *on, keep=kept(before))
    assert cut(before).items() <= cut(after).items()
    assert len(after.models) == len(models)
    assert after.schedule.makespan >= after.lower_bound * (1 - 1e-9)


def test_more_samples_move_nothing_that_has_begun() -> None:
    before = plan(TEN, asked=work(500))
    after = plan(TEN, asked=work(50_000), keep=kept(before))
    assert cut(after) == cut(before)
    assert cut(plan(TEN, asked=work(50_000))) != cut(before)


def test_what_the_user_changes_is_planned_anew_and_alone() -> None:
    before = plan(TEN, keep={})
    changed = [replace(m, shards=5) if m.name == "llama3.2:1b" else m for m in TEN]
    after = plan(changed, keep=kept(before))
    assert after.model("llama3.2-1b").shards == 5
    others = cut(before).items() - {("llama3.2-1b", cut(before)["llama3.2-1b"])}
    assert others <= cut(after).items()
    # More GPUs move nothing that has begun; GPUs of another type do.
    assert cut(plan(TEN, 8, keep=kept(before))) == cut(before)
    h200 = plan(TEN, gpu_type="H200-141GB", keep=kept(before))
    assert cut(h200) == cut(plan(TEN, gpu_type="H200-141GB"))


def test_another_load_must_be_worth_it() -> None:
    # 50 short requests: eight loads would save a hundredth of a second.
    few = work(requests=50)
    assert [m.shards for m in plan([MODELS["llama3.2:1b"]], 8, asked=few).models] == [1]
    assert [m.shards for m in plan([MODELS["llama3.1:8b"]], 4, asked=work()).models] == [4]


def test_what_no_longer_fits_is_not_kept() -> None:
    model = MODELS["llama3.3-70b"]
    stale = {model.slug: replace(kept(plan([model]))[model.slug], gpus=1)}
    assert plan([model], keep=stale).models[0].gpus >= 2


def measured(model: Model, start: float, generate: float) -> Calibration:
    """One finished job of 1,000 requests on an A100, at another pace than the cost model's."""
    one = Measurement(
        job="test/x/1-of-1",
        model=model.name,
        source=source_of(model),
        gpu_type="A100-80GB",
        gpus=1,
        mode="eager",
        engines=1,
        max_num_seqs=1024,
        utilization=0.9,
        kv_bytes=None,
        warm=True,
        requests=1000,
        prompt_characters=400_000,
        prompt_tokens=130_000,
        output_tokens=64_000,
        longest_output=64,
        max_tokens=128,
        start=start,
        generate=generate,
        finished="2026-11-24T00:00:00Z",
    )
    device = pool().device
    return Calibration(device, pool().storage, [one], {source_of(model): model})


def test_calibration_changes_a_plan_only_where_it_is_given() -> None:
    model = MODELS["llama3.1:8b"]
    bare = plan([model])
    assert plan([model], calibration=UNCALIBRATED) == bare
    assert plan([model], calibration=Calibration()) == bare
    slow = plan([model], calibration=measured(model, start=200.0, generate=400.0))
    assert slow.schedule.makespan > bare.schedule.makespan
    assert slow.models[0].cost.start > bare.models[0].cost.start
    assert slow.models[0].inputs == bare.models[0].inputs


def test_the_plan_chooses_the_engine_settings_it_counted_with() -> None:
    planned = plan([MODELS["llama3.1:8b"]]).models[0]
    args = planned.engine_args
    assert args["enforce_eager"] is True
    assert args["max_num_seqs"] == planned.cost.batch
    assert args["kv_cache_memory_bytes"] >= planned.cost.kv_bytes
    half = replace(MODELS["qwen2.5-32b"], engine={"gpu_memory_utilization": 0.45})
    planned = plan([half]).models[0]
    assert planned.engine_args["gpu_memory_utilization"] == 0.45
    assert planned.gpus >= 2  # half the memory, twice the GPUs
    assert planned.cost.peak_bytes <= 0.45 * pool().device.memory


def test_the_users_engine_arguments_stand() -> None:
    chosen = {"enforce_eager": False, "max_num_seqs": 33}
    args = plan([replace(MODELS["llama3.1:8b"], engine=chosen)]).models[0].engine_args
    assert args == {**chosen, "gpu_memory_utilization": 0.9}


def test_without_gpus_the_cpu_is_one_slot() -> None:
    demo = [MODELS["smollm2:135m"], MODELS["smollm2:135m-warm"]]
    planned = make_plan([Ask(m, work(), 2048) for m in demo], Pool(CPU, 1), {})
    assert (planned.gpu_type, planned.gpus) == (None, 1)
    assert all(m.gpus == 1 and m.engine_args == {"enforce_eager": True} for m in planned.models)
    assert planned.schedule.busy_share == pytest.approx(1.0)


def test_the_cpu_refuses_a_tensor_parallel_size() -> None:
    wide = replace(MODELS["smollm2:360m"], tensor_parallel_size=2)
    with pytest.raises(UserError, match="smollm2:360m: tensor_parallel_size 2 needs GPUs"):
        make_plan([Ask(wide, work())], Pool(CPU, 1), {})


def test_a_server_elsewhere_takes_no_gpu_and_no_time() -> None:
    server = Model(name="gpt", backend="openai", base_url="http://localhost/v1")
    planned = plan([server, MODELS["llama3.2:1b"]])
    assert [(m.name, m.gpus, m.engine_args) for m in planned.models[1:]] == [("gpt", 0, {})]
    assert planned.schedule == plan([MODELS["llama3.2:1b"]]).schedule
    assert plan([server]).schedule.makespan == 0.0


@settings(max_examples=20, deadline=None)
@given(ANY_NAMES, pools)
def test_a_plan_survives_json(names: list[str], on: tuple[int, str]) -> None:
    server = Model(name="gpt", backend="openai", base_url="http://localhost/v1")
    planned = plan([server, *(MODELS[n] for n in names)], *on)
    assert Plan.from_json(json.loads(json.dumps(planned.to_json()))) == planned


@pytest.mark.parametrize("version", [{}, {"schema_version": 99}, {"schema_version": 1}])
def test_a_plan_of_another_version_is_none_and_made_anew(version: dict[str, Any]) -> None:
    assert Plan.from_json({**plan(TEN).to_json(), **version} if version else {}) is None
