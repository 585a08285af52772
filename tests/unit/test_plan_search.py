"""List scheduling over options: deterministic, near the bound, never worse than three phases."""

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lineups import ANY_NAMES, MODELS, option_lineups, plan, pool, work

from evalpack.plan.bound import lower_bound
from evalpack.plan.fit import able_sizes, tp_sizes
from evalpack.plan.options import Option, options
from evalpack.plan.pool import Pool
from evalpack.plan.schedule import simulate
from evalpack.plan.search import ORDERS, list_schedule, pack, ranked, schedule

Lineup = tuple[list[list[Option]], int]

pools = st.tuples(
    st.integers(4, 64), st.sampled_from(["A100-80GB", "H100-80GB", "H200-141GB"])
) | st.tuples(st.integers(8, 64), st.just("A100-40GB"))  # all that ships fits on each of them
asked = st.builds(
    work,
    st.sampled_from([13, 500, 5000, 20_000]),
    st.sampled_from([60, 126, 600]),
    st.sampled_from([16, 128, 512]),
)


@settings(max_examples=40, deadline=None)
@given(option_lineups())
def test_equal_inputs_give_equal_packings(lineup: Lineup) -> None:
    models, gpus = lineup
    bound = lower_bound(models, gpus)
    again = [[replace(one) for one in found] for found in models]
    assert list_schedule(models, gpus, bound) == list_schedule(again, gpus, bound)


@settings(max_examples=40, deadline=None)
@given(option_lineups())
def test_a_packing_is_what_its_schedule_comes_to(lineup: Lineup) -> None:
    models, gpus = lineup
    bound = lower_bound(models, gpus)
    found = list_schedule(models, gpus, bound)
    names = [str(index) for index in range(len(models))]
    placed = schedule(names, found.choice, found.order, gpus)
    assert placed.makespan == pytest.approx(found.makespan)
    assert found.makespan >= bound * (1 - 1e-9)
    assert all(one in options for one, options in zip(found.choice, models, strict=True))


@settings(max_examples=40, deadline=None)
@given(option_lineups())
def test_looking_longer_is_never_worse(lineup: Lineup) -> None:
    models, gpus = lineup
    bound = lower_bound(models, gpus)
    found = [list_schedule(models, gpus, bound, effort).makespan for effort in (0, 500, 5000)]
    assert found == sorted(found, reverse=True)


@settings(max_examples=40, deadline=None)
@given(option_lineups())
def test_priorities_reproduce_the_order_of_the_jobs(lineup: Lineup) -> None:
    models, gpus = lineup
    choice = tuple(found[0] for found in models)
    jobs = [job for i, one in enumerate(choice) for job in one.jobs(str(i))]
    for order, key in ORDERS.items():
        listed = ranked(sorted(jobs, key=key))
        assert [job.priority for job in listed] == list(range(len(jobs), 0, -1))
        assert schedule([str(i) for i in range(len(models))], choice, order, gpus) == simulate(
            listed, gpus
        )


@settings(max_examples=40, deadline=None)
@given(option_lineups())
def test_widest_then_longest_is_given_up_only_for_a_clear_gain(lineup: Lineup) -> None:
    models, gpus = lineup
    choice = tuple(found[0] for found in models)
    found = pack(choice, gpus)
    names = [str(index) for index in range(len(models))]
    first = schedule(names, choice, "widest, then longest", gpus).makespan
    assert found.order == "widest, then longest" or found.makespan < 0.98 * first


@settings(max_examples=40, deadline=None)
@given(ANY_NAMES, pools, asked, st.randoms())
def test_a_plan_is_the_same_in_whatever_order_the_config_lists_the_models(
    names: list[str], on: tuple[int, str], asked: Any, chance: Any
) -> None:
    first = plan([MODELS[name] for name in names], *on, asked=asked)
    chance.shuffle(names)
    assert plan([MODELS[name] for name in names], *on, asked=asked) == first


@settings(max_examples=60, deadline=None)
@given(ANY_NAMES, pools, asked)
@example(["mixtral:8x7b"], (4, "A100-80GB"), work(13, 60, 16))  # wider by a sixth of a second
def test_a_plan_is_never_worse_than_three_phases_nor_better_than_the_bound(
    names: list[str], on: tuple[int, str], asked: Any
) -> None:
    planned = plan([MODELS[name] for name in names], *on, asked=asked)
    makespan = planned.schedule.makespan
    assert planned.lower_bound * (1 - 1e-9) <= makespan <= planned.phases * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_random_lineups_end_within_a_quarter_of_the_bound(seed: int) -> None:
    chance = random.Random(seed)
    names = chance.choices(sorted(MODELS), k=chance.randint(1, 50))
    models = [replace(MODELS[name], name=f"{name}#{i}") for i, name in enumerate(names)]
    planned = plan(models, chance.randint(4, 64), asked=work(chance.choice([500, 5000])))
    assert planned.schedule.makespan <= 1.25 * planned.lower_bound


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(MODELS)), pools, asked)
def test_no_option_is_beaten_by_another_in_all_respects(
    name: str, on: tuple[int, str], asked: Any
) -> None:
    found = options_of(name, pool(*on), asked)
    for one in found:
        for other in found:
            assert one is other or not (
                other.seconds <= one.seconds and other.gpus <= one.gpus and other.area <= one.area
            )
    assert [one.area for one in found] == sorted(one.area for one in found)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(MODELS)), pools, asked)
def test_options_can_all_run_at_once_and_hold_what_a_shard_is_asked(
    name: str, on: tuple[int, str], asked: Any
) -> None:
    for one in options_of(name, pool(*on), asked):
        assert one.shards * one.gpus <= on[0]
        assert one.shards <= max(1, asked.requests)
        assert one.gpus in tp_sizes(MODELS[name], on[0])
        assert 1 <= one.cost.batch <= one.settings.max_num_seqs * one.settings.engines


def options_of(name: str, where: Pool, asked: Any) -> list[Option]:
    model = MODELS[name]
    return options(
        model,
        where.device,
        asked,
        where.storage,
        sizes=able_sizes(model, where.device, where.count, asked),
        shards=None,
        gpus=where.count,
        utilization=0.9,
    )
