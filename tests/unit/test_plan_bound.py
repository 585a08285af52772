"""The lower bound: no schedule of any options beats it, and it is met where that is easy."""

import pytest
from exhaustive import best_greedy, best_makespan
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from lineups import option, option_lineups

from evalpack.plan.bound import lower_bound
from evalpack.plan.options import Option
from evalpack.plan.search import list_schedule

Lineup = tuple[list[list[Option]], int]

tiny = option_lineups(most_models=4, most_gpus=5, most_options=3)
MOST_JOBS = 6


def jobs_at_most(models: list[list[Option]]) -> int:
    return sum(max(one.shards for one in found) for found in models)


@settings(max_examples=100, deadline=None)
@given(tiny)
def test_no_schedule_of_any_options_beats_the_bound(lineup: Lineup) -> None:
    models, gpus = lineup
    assume(jobs_at_most(models) <= MOST_JOBS)
    assert lower_bound(models, gpus) <= best_makespan(models, gpus) * (1 + 1e-9)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), min_size=1, max_size=6), st.data())
def test_nor_where_lengths_divide_each_other(lengths: list[float], data: st.DataObject) -> None:
    # Whole fractions of the makespan are where rounding in a bound goes wrong.
    gpus = data.draw(st.integers(1, 4))
    widths = st.sampled_from([w for w in (1, 2, 4) if w <= gpus])
    models = [[option(1, data.draw(widths), 0.0, length)] for length in lengths]
    assert lower_bound(models, gpus) <= best_makespan(models, gpus) * (1 + 1e-9)


@settings(max_examples=100, deadline=None)
@given(tiny)
def test_list_scheduling_is_between_the_best_and_a_half_more(lineup: Lineup) -> None:
    models, gpus = lineup
    assume(jobs_at_most(models) <= MOST_JOBS)
    found = list_schedule(models, gpus, lower_bound(models, gpus)).makespan
    best = best_greedy(models, gpus)
    assert best * (1 - 1e-9) <= found <= 1.5 * best


@pytest.mark.parametrize(
    ("jobs", "gpus", "bound"),
    [
        ([(1, 10.0)], 4, 10.0),  # one job is as long as it is
        ([(1, 10.0)] * 4, 2, 20.0),  # GPU-seconds
        ([(2, 10.0)] * 2, 3, 20.0),  # of three GPUs, pairs can use two
        ([(1, 10.0)] * 5, 4, 20.0),  # of five equal jobs, two follow each other
        ([(1, 6.0), (1, 6.0), (1, 6.0)], 2, 12.0),
        ([(4, 5.0), (1, 5.0)], 4, 10.0),  # nothing runs beside the widest
    ],
)
def test_the_bound_of_easy_cases(jobs: list[tuple[int, float]], gpus: int, bound: float) -> None:
    models = [[option(1, width, 0.0, seconds)] for width, seconds in jobs]
    assert lower_bound(models, gpus) == pytest.approx(bound, rel=0.006)
    assert lower_bound(models, gpus) <= bound * (1 + 1e-9)


@settings(deadline=None)
@given(option_lineups())
def test_more_gpus_never_raise_the_bound_by_more_than_its_step(lineup: Lineup) -> None:
    models, gpus = lineup
    assert lower_bound(models, 2 * gpus) <= lower_bound(models, gpus) * 1.006


@given(option_lineups())
def test_the_bound_covers_the_longest_model_and_the_gpu_seconds(lineup: Lineup) -> None:
    models, gpus = lineup
    longest = max(min(one.seconds for one in found) for found in models)
    area = sum(min(one.area for one in found) for found in models) / gpus
    assert lower_bound(models, gpus) >= max(longest, area) * (1 - 1e-5)


def test_nothing_to_do_has_no_bound() -> None:
    assert lower_bound([], 4) == 0.0
    assert lower_bound([[]], 4) == 0.0
