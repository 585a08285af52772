"""The plan as an integer program: tensor parallel sizes, replicas and places that end soonest.

GPUs are taken in aligned groups: jobs of width w run on GPUs 0..w−1, w..2w−1 and so on. On every
GPU the wider jobs come first, so no job waits for another one's GPUs, and a GPU is done when the
jobs of all groups that it is part of have run one after the other:

    minimise   M
    such that  Σ_o x[m,o] = 1                                 each model takes one option
               Σ_g n[m,o,g] = shards_o · x[m,o]               whose jobs are dealt to groups
               Σ_{m,o,g∋i} seconds_o · n[m,o,g] ≤ M           for every GPU i

Jobs are started in the order in which they begin there. That the program fixes an order (wide
before narrow) and groups makes it small; its optimum is that of all such plans, not of all plans,
which is why the lower bound of `bound` is reported beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulp

from evalpack.plan.options import Option
from evalpack.plan.schedule import Job, Schedule, simulate
from evalpack.plan.search import Choice, ranked
from evalpack.plan.solver import pick_solver

_MOST_OPTIONS = 10
"""Options a model keeps in the program: those nearest to the warm start's."""
_MOST_VARIABLES = 4000
"""A larger program is not solved in a useful time, and where it is, list scheduling was as good."""
_GAP = 1e-3
_NEARLY = 1e-6


@dataclass(frozen=True, slots=True)
class Solution:
    """What the solver found: the options, the jobs in the order to start them, and who found it."""

    choice: Choice
    schedule: Schedule
    solver: str
    optimal: bool


def solve(
    names: Sequence[str],
    lineup: Sequence[Sequence[Option]],
    gpus: int,
    start: Choice,
    makespan: float,
    *,
    seconds: float,
) -> Solution | None:
    """Improve on a plan; None if the solver found none in time, or the program is too large for it.

    Args:
        names: of the models.
        lineup: each model's options.
        gpus: GPUs there are.
        start: the options of the plan that list scheduling found.
        makespan: of that plan, in seconds.
        seconds: for the solver.
    """
    kept = [_kept(found, chosen, makespan) for found, chosen in zip(lineup, start, strict=True)]
    if sum(gpus // option.gpus for found in kept for option in found) > _MOST_VARIABLES:
        return None
    program = _Program(names, kept, gpus, makespan)
    program.warm_start(start)
    solver, name = pick_solver(seconds, _GAP)
    try:
        program.problem.solve(solver)
    except pulp.PulpSolverError:  # a machine that its CBC does not run on: list scheduling stands
        return None
    return program.solution(name)


def _kept(found: Sequence[Option], chosen: Option, makespan: float) -> list[Option]:
    """Options that can belong to a plan no longer than the warm start."""
    able = [option for option in found if option.seconds <= makespan]
    near = sorted(able, key=lambda option: (option is not chosen, abs(option.area - chosen.area)))
    return near[:_MOST_OPTIONS]


class _Program:
    def __init__(
        self, names: Sequence[str], lineup: Sequence[Sequence[Option]], gpus: int, most: float
    ) -> None:
        self.names, self.lineup, self.gpus = names, lineup, gpus
        self.problem = pulp.LpProblem("plan", pulp.LpMinimize)
        self.makespan = pulp.LpVariable("makespan", 0, most)
        self.takes: dict[tuple[int, int], pulp.LpVariable] = {}
        self.runs: dict[tuple[int, int, int], pulp.LpVariable] = {}
        loads: list[list[pulp.LpAffineExpression]] = [[] for _ in range(gpus)]
        area: list[pulp.LpAffineExpression] = []
        for m, found in enumerate(lineup):
            for o, option in enumerate(found):
                take = self.takes[m, o] = pulp.LpVariable(f"x_{m}_{o}", cat=pulp.LpBinary)
                groups = range(gpus // option.gpus)
                here = []
                for g in groups:
                    run = pulp.LpVariable(f"n_{m}_{o}_{g}", 0, option.shards, pulp.LpInteger)
                    self.runs[m, o, g] = run
                    here.append(run)
                    for i in range(g * option.gpus, (g + 1) * option.gpus):
                        loads[i].append(option.seconds * run)
                self.problem += pulp.lpSum(here) == option.shards * take
                area.append(option.area * take)
            self.problem += pulp.lpSum(self.takes[m, o] for o in range(len(found))) == 1
        for load in loads:
            self.problem += pulp.lpSum(load) <= self.makespan
        total = pulp.lpSum(area)
        self.problem += total <= gpus * self.makespan  # implied, and tightens the relaxation
        # Of plans that end together the one of fewest GPU-seconds.
        self.problem.setObjective(self.makespan + _NEARLY * total)

    def warm_start(self, choice: Choice) -> None:
        """Deal the jobs of a choice to groups, the widest and longest first, the least loaded group next."""
        loads = [0.0] * self.gpus
        for variable in (*self.takes.values(), *self.runs.values()):
            variable.setInitialValue(0)
        order = sorted(range(len(choice)), key=lambda m: (-choice[m].gpus, -choice[m].seconds))
        counts: dict[tuple[int, int, int], int] = {}
        for m in order:
            option = choice[m]
            o = next(o for o, one in enumerate(self.lineup[m]) if one is option)
            self.takes[m, o].setInitialValue(1)
            width = option.gpus
            for _ in range(option.shards):
                g = min(range(self.gpus // width), key=lambda g: loads[g * width : (g + 1) * width])
                for i in range(g * width, (g + 1) * width):
                    loads[i] += option.seconds
                counts[m, o, g] = counts.get((m, o, g), 0) + 1
        for key, count in counts.items():
            self.runs[key].setInitialValue(count)
        self.makespan.upBound = max(self.makespan.upBound, *loads)
        self.makespan.setInitialValue(max(loads))

    def solution(self, solver: str) -> Solution | None:
        """What was found, its jobs in the order in which they begin; None if that is no solution.

        Where its time ends, a solver can stop at values that are not whole.
        """
        if self.problem.sol_status not in (pulp.LpSolutionOptimal, pulp.LpSolutionIntegerFeasible):
            return None
        choice: list[Option] = []
        begins: list[tuple[float, int, Job]] = []
        dealt: list[list[tuple[int, int, int, int]]] = []
        for m, found in enumerate(self.lineup):
            o = max(
                range(len(found)),
                key=[self._value(self.takes[m, o]) for o in range(len(found))].__getitem__,
            )
            choice.append(found[o])
            groups = range(self.gpus // found[o].gpus)
            dealt.append([(m, o, g, round(self._value(self.runs[m, o, g]))) for g in groups])
        loads = [0.0] * self.gpus
        for m in sorted(range(len(choice)), key=lambda m: (-choice[m].gpus, -choice[m].seconds)):
            option = choice[m]
            jobs = iter(option.jobs(self.names[m]))
            for _, _, g, count in dealt[m]:
                for _ in range(count):
                    job = next(jobs, None)
                    if job is None:
                        return None
                    begins.append((loads[g * option.gpus], len(begins), job))
                    for i in range(g * option.gpus, (g + 1) * option.gpus):
                        loads[i] += option.seconds
            if next(jobs, None) is not None:
                return None
        ordered = [job for _, _, job in sorted(begins, key=lambda begin: begin[:2])]
        schedule = simulate(ranked(ordered), self.gpus)
        optimal = self.problem.sol_status == pulp.LpSolutionOptimal
        return Solution(tuple(choice), schedule, solver, optimal)

    @staticmethod
    def _value(variable: pulp.LpVariable) -> float:
        return float(variable.value() or 0.0)
