"""The simulator does what Snakemake's greedy scheduler does, and never over-commits a GPU."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import greedy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalpack.plan.schedule import Job, Placed, Schedule, begins, simulate
from evalpack.plan.search import ranked

seconds = st.one_of(st.integers(0, 12).map(float), st.floats(0.1, 100))


@st.composite
def lineups(draw: st.DrawFn, powers: bool = False) -> tuple[list[Job], int]:
    """Jobs in any order, and the GPUs to run them on; some lengths are equal, some 0."""
    gpus = draw(st.integers(1, 9))
    widths = st.sampled_from([w for w in (1, 2, 4, 8) if w <= gpus])
    one = st.builds(
        Job,
        model=st.just("m"),
        shard=st.just(1),
        shards=st.just(1),
        gpus=widths if powers else st.integers(1, gpus),
        start=seconds,
        generate=seconds,
    )
    jobs = draw(st.lists(one, max_size=25))
    named = [replace(job, model=f"m{index}") for index, job in enumerate(jobs)]
    return draw(st.permutations(ranked(named))), gpus


def began(schedule: Schedule) -> dict[str, float]:
    return {place.job.model: place.begin for place in schedule.placed}


@given(lineups())
def test_jobs_begin_when_snakemakes_scheduler_starts_them(lineup: tuple[list[Job], int]) -> None:
    jobs, gpus = lineup
    real = {job.model: begin for job, begin in greedy.run(jobs, gpus)}
    assert began(simulate(jobs, gpus)) == real


@given(lineups(), seconds)
def test_a_lead_in_moves_every_job_by_itself(lineup: tuple[list[Job], int], lead: float) -> None:
    jobs, gpus = lineup
    at_once, later = simulate(jobs, gpus), simulate(jobs, gpus, lead)
    assert began(later) == {name: lead + begin for name, begin in began(at_once).items()}
    if jobs:
        assert later.makespan == pytest.approx(lead + at_once.makespan)


@given(lineups())
def test_no_gpu_runs_two_jobs_at_once(lineup: tuple[list[Job], int]) -> None:
    jobs, gpus = lineup
    placed = simulate(jobs, gpus).placed
    for device in range(gpus):
        mine = sorted(
            (place for place in placed if device in place.devices),
            key=lambda place: (place.begin, place.end),
        )
        assert all(one.end <= other.begin for one, other in pairwise(mine))


@given(lineups())
def test_every_job_runs_once_on_as_many_gpus_as_it_takes(lineup: tuple[list[Job], int]) -> None:
    jobs, gpus = lineup
    placed = simulate(jobs, gpus).placed
    assert sorted(place.job.model for place in placed) == sorted(job.model for job in jobs)
    for place in placed:
        assert len(set(place.devices)) == place.job.gpus
        assert set(place.devices) <= set(range(gpus))


@given(lineups())
def test_jobs_of_one_width_begin_in_order_of_priority(lineup: tuple[list[Job], int]) -> None:
    jobs, gpus = lineup
    schedule = simulate(jobs, gpus)
    for width in range(1, gpus + 1):
        mine = [place for place in schedule.placed if place.job.gpus == width]
        order = sorted(mine, key=lambda place: -place.job.priority)
        assert [place.begin for place in order] == sorted(place.begin for place in mine)


@given(lineups())
def test_a_job_waits_only_while_too_few_gpus_are_free(lineup: tuple[list[Job], int]) -> None:
    jobs, gpus = lineup
    placed = simulate(jobs, gpus).placed
    for late in placed:
        for begin in {place.begin for place in placed if place.begin < late.begin}:
            held = sum(
                place.job.gpus
                for place in placed
                if place.begin <= begin < place.end and place is not late
            )
            assert gpus - held < late.job.gpus


@given(lineups())
def test_the_placed_jobs_are_in_the_order_in_which_they_begin(
    lineup: tuple[list[Job], int],
) -> None:
    jobs, gpus = lineup
    schedule = simulate(jobs, gpus)
    assert [place.begin for place in schedule.placed] == sorted(
        place.begin for place in schedule.placed
    )
    assert schedule.makespan == max((place.end for place in schedule.placed), default=0.0)


@given(lineups())
def test_the_makespan_is_between_its_bounds(lineup: tuple[list[Job], int]) -> None:
    jobs, gpus = lineup
    schedule = simulate(jobs, gpus)
    longest = max((job.seconds for job in jobs), default=0.0)
    assert schedule.makespan >= max(longest, schedule.gpu_seconds / gpus) * (1 - 1e-9)
    assert schedule.makespan <= sum(job.seconds for job in jobs) * (1 + 1e-9)
    assert 0 <= schedule.generating_share <= schedule.busy_share <= 1 + 1e-9


@given(lineups(powers=True), st.randoms())
def test_the_order_in_which_jobs_are_given_changes_nothing(
    lineup: tuple[list[Job], int], chance: Any
) -> None:
    jobs, gpus = lineup
    shuffled = list(jobs)
    chance.shuffle(shuffled)
    assert simulate(shuffled, gpus) == simulate(jobs, gpus)


def job(gpus: int, length: float) -> Job:
    return Job("m", 1, 1, gpus, 0.0, length)


def test_a_wide_job_is_overtaken_by_narrow_ones_that_fit() -> None:
    schedule = simulate(ranked([job(1, 5), job(2, 1), job(1, 1)]), 2)
    places = [(place.job.gpus, place.begin, place.devices) for place in schedule.placed]
    assert places == [(1, 0.0, (0,)), (1, 0.0, (1,)), (2, 5.0, (0, 1))]


def test_the_gpus_of_a_wide_job_are_neighbours_where_they_can_be() -> None:
    jobs = ranked([job(1, 9), job(1, 1), job(1, 9), job(1, 9), job(2, 3)])
    assert simulate(jobs, 6).placed[-1].devices == (4, 5)
    jobs = ranked([job(1, 9), job(1, 1), job(1, 9), job(1, 1), job(2, 3)])
    assert simulate(jobs, 4).placed[-1].devices == (1, 3)


def test_jobs_that_end_together_free_their_gpus_together() -> None:
    last = simulate(ranked([job(1, 3), job(1, 3), job(2, 1)]), 2).placed[-1]
    assert (last.begin, last.devices) == (3.0, (0, 1))


def test_nothing_to_do_takes_no_time() -> None:
    empty = simulate([], 4)
    assert (empty.makespan, empty.gpu_seconds, empty.busy_share, empty.generating_share) == (
        0.0,
        0.0,
        0.0,
        0.0,
    )


def test_shares_are_of_all_gpus_until_the_end() -> None:
    one = Placed(Job("m", 1, 1, 1, start=5.0, generate=5.0), 0.0, (0,))
    schedule = Schedule(2, (one,))
    assert (schedule.busy_share, schedule.generating_share) == (0.5, 0.25)


def test_a_job_wider_than_all_gpus_is_an_error_and_not_a_wait_for_ever() -> None:
    with pytest.raises(ValueError, match="wider than all GPUs"):
        simulate([job(3, 1.0)], 2)
    with pytest.raises(ValueError, match="wider than all GPUs"):
        list(begins([(1, 1.0), (3, 1.0)], 2))
