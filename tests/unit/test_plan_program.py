"""The integer program: either solver, in its time, silently, and never taken for the worse."""

import time
from collections.abc import Iterator

import pulp
import pytest
from hypothesis import HealthCheck, given, settings
from lineups import TEN, option, option_lineups, plan, pool, work

from evalpack.plan.bound import lower_bound
from evalpack.plan.make import make_plan
from evalpack.plan.options import Option
from evalpack.plan.plan import Ask
from evalpack.plan.program import Solution, solve
from evalpack.plan.schedule import simulate
from evalpack.plan.search import list_schedule, schedule
from evalpack.plan.solver import pick_solver

Lineup = tuple[list[list[Option]], int]
SOLVERS = ("HiGHS", "CBC")
pytestmark = pytest.mark.filterwarnings("ignore:.*PuLP 4.0:DeprecationWarning")

# Jobs of 8, 5 and 3 seconds fill three GPUs exactly; the wide alternative does not help.
EXACT = [
    [option(1, 1, 0.0, 8.0)],
    [option(1, 1, 0.0, 5.0), option(1, 2, 0.0, 4.5)],
    [option(1, 1, 0.0, 5.0)],
    [option(1, 1, 0.0, 3.0)],
    [option(1, 1, 0.0, 3.0)],
]


@pytest.fixture(params=SOLVERS)
def solver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Each solver in turn, the other one not installed."""
    name: str = request.param
    if name == "HiGHS":
        pytest.importorskip("highspy")
    else:
        monkeypatch.setattr(pulp.HiGHS, "available", lambda self: False)
    yield name


def improved(models: list[list[Option]], gpus: int, seconds: float = 5.0) -> Solution | None:
    """The program's answer to what list scheduling, without improvements, came to."""
    names = [str(index) for index in range(len(models))]
    start = list_schedule(models, gpus, lower_bound(models, gpus), effort=0)
    return solve(names, models, gpus, start.choice, start.makespan, seconds=seconds)


def check(found: Solution, models: list[list[Option]], gpus: int) -> None:
    """Every model runs one of its options, all of whose jobs are placed."""
    assert all(any(one is o for o in m) for one, m in zip(found.choice, models, strict=True))
    jobs = [job for index, one in enumerate(found.choice) for job in one.jobs(str(index))]
    placed = {(place.job.model, place.job.shard): place for place in found.schedule.placed}
    assert len(placed) == len(found.schedule.placed) == len(jobs)
    assert all(placed[job.model, job.shard].job.seconds == job.seconds for job in jobs)
    again = simulate([place.job for place in found.schedule.placed], gpus)
    assert again == found.schedule
    for place in found.schedule.placed:
        held = sum(
            other.job.gpus
            for other in found.schedule.placed
            if other.begin <= place.begin < other.end
        )
        assert held <= gpus


def test_the_solver_is_highs_where_it_is_installed_and_else_cbc(solver: str) -> None:
    assert pick_solver(1.0, 0.01)[1] == solver


def test_a_packing_without_gaps_is_found_and_known_to_be_the_best(solver: str) -> None:
    found = improved(EXACT, 3)
    assert found is not None
    check(found, EXACT, 3)
    assert found.schedule.makespan == pytest.approx(8.0)
    assert (found.solver, found.optimal) == (solver, True)


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(option_lineups(most_models=6, most_gpus=6))
def test_a_solution_never_over_commits_and_keeps_to_the_options(
    solver: str, lineup: Lineup
) -> None:
    models, gpus = lineup
    found = improved(models, gpus, seconds=2.0)
    if found is not None:
        check(found, models, gpus)
        assert found.schedule.makespan >= lower_bound(models, gpus) * (1 - 1e-9)
        assert found.solver == solver


def test_wide_jobs_begin_before_the_narrow_ones_that_would_block_them(solver: str) -> None:
    models = [[option(1, 4, 0.0, 5.0)], *([option(1, 1, 0.0, 2.0)] for _ in range(8))]
    found = improved(models, 4)
    assert found is not None
    assert found.schedule.placed[0].job.gpus == 4
    assert found.schedule.makespan == pytest.approx(9.0)


def test_replicas_are_chosen_where_they_end_sooner(solver: str) -> None:
    models = [[option(1, 1, 2.0, 10.0), option(2, 1, 2.0, 5.0)], [option(1, 1, 0.0, 4.0)]]
    found = improved(models, 2)
    assert found is not None
    assert found.choice[0].shards == 2
    assert found.schedule.makespan == pytest.approx(11.0)


def test_the_time_limit_is_kept_and_nothing_is_printed(
    solver: str, capfd: pytest.CaptureFixture[str]
) -> None:
    # Forty odd lengths in three replicas or one: the optimum is not proven in a second.
    models = [
        [option(1, 1, 3.0, 50 + 7.3 * n % 41), option(3, 1, 3.0, 17 + 7.3 * n % 13)]
        for n in range(40)
    ]
    before = time.perf_counter()
    found = improved(models, 7, seconds=1.0)
    assert time.perf_counter() - before < 10  # building the program included
    assert found is None or found.solver == solver
    assert capfd.readouterr().out == ""


@settings(max_examples=20, deadline=None)
@given(option_lineups(most_models=6, most_gpus=6))
def test_a_solution_from_the_best_known_plan_keeps_to_its_options(lineup: Lineup) -> None:
    models, gpus = lineup
    names = [str(index) for index in range(len(models))]
    start = list_schedule(models, gpus, lower_bound(models, gpus))
    found = solve(names, models, gpus, start.choice, start.makespan, seconds=2.0)
    if found is not None:
        check(found, models, gpus)
    assert schedule(names, start.choice, start.order, gpus).makespan == pytest.approx(
        start.makespan
    )


@pytest.mark.parametrize("gpus", [3, 4])
def test_a_plan_with_the_solver_is_never_worse_than_without(
    solver: str, gpus: int, capfd: pytest.CaptureFixture[str]
) -> None:
    asks = [Ask(model, work(), 8192) for model in TEN]
    quick = make_plan(asks, pool(gpus), {})
    solved = make_plan(asks, pool(gpus), {}, solver_seconds=1.0)
    assert solved.schedule.makespan <= quick.schedule.makespan * (1 + 1e-9)
    assert solved.schedule.makespan >= solved.lower_bound * (1 - 1e-9)
    assert solved.solved_by.startswith((f"integer program ({solver}, ", "list scheduling, "))
    assert capfd.readouterr().out == ""


def test_who_solved_it_is_said(solver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalpack.plan.search.THOROUGH", 0)  # leave something to improve
    names = {
        seed: plan(TEN[: 5 + seed % 6], 3 + seed % 3, solver_seconds=3.0).solved_by
        for seed in range(6)
    }
    assert any(name.startswith(f"integer program ({solver}, ") for name in names.values()), names


def test_list_scheduling_that_meets_the_bound_asks_no_solver(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the solver was asked")

    monkeypatch.setattr("evalpack.plan.program.pick_solver", refuse)
    assert plan(TEN[:1], 1, solver_seconds=5.0).solved_by.startswith("list scheduling")


def test_no_models_need_no_program() -> None:
    assert plan([], solver_seconds=5.0).models == ()
