"""List scheduling over options: fast, deterministic, close to the lower bound.

For a makespan M, each model takes the option of fewest GPU-seconds whose jobs end within M; the
jobs are started widest first, then longest. The best M is looked for from the lower bound upwards,
and the outcome improved by giving single models other options. Where another order of the same
jobs ends clearly sooner (on many GPUs, where wide jobs are no obstacle, longest first often does),
that one is taken.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from evalpack.plan.options import Option
from evalpack.plan.schedule import Job, Schedule, begins, simulate

_TARGETS = tuple(1 + 0.0005 * step**2.2 for step in range(24))
_STARTS = 3
"""Of the best outcomes so many are improved."""
_KICKED = 3
"""Models that get other options at once where single changes lead no further."""
GOOD = 1.002
"""Nothing more is tried within this factor of the lower bound."""
QUICK, THOROUGH = 60_000, 500_000
"""Simulated jobs: about 0.3 and 2 seconds."""
_FEW = 5
"""All choices are tried where that takes at most one part in so many of the effort."""
_CLEARLY = 0.98

Choice = tuple[Option, ...]
"""One option for each model, in the order of the lineup."""
Key = Callable[[Job | Option], tuple[float, ...]]
Rank = Callable[["Packing"], tuple[float, float]]

ORDERS: Mapping[str, Key] = {
    "widest, then longest": lambda job: (-job.gpus, -job.seconds),
    "longest, then widest": lambda job: (-job.seconds, -job.gpus),
    "long and wide": lambda job: (-(job.gpus**0.5) * job.seconds,),
}


@dataclass(frozen=True, slots=True)
class Packing:
    """Options chosen for a lineup, the order of their jobs, and what comes of them.

    `over` sums GPUs · (seconds that they are held beyond the lower bound)²: of two plans that end
    at the same second, the one with less of it is nearer to ending sooner.
    """

    choice: Choice
    order: str
    makespan: float
    over: float


def _rank(packing: Packing) -> tuple[float, float]:
    return packing.makespan, packing.over


def _over(packing: Packing) -> tuple[float, float]:
    return packing.over, packing.makespan


def list_schedule(
    lineup: Sequence[Sequence[Option]], gpus: int, bound: float, effort: int = QUICK
) -> Packing:
    """The plan that list scheduling finds; the same one for the same inputs.

    Args:
        lineup: each model's options, the least GPU-seconds first.
        gpus: GPUs there are.
        bound: a lower bound of the makespan, in seconds.
        effort: jobs that may be simulated to improve it: a bound on its time that no clock decides.
    """
    jobs = sum(max(option.shards for option in found) for found in lineup)
    if math.prod(len(found) for found in lineup) * jobs * _FEW <= effort:
        return min((pack(choice, gpus, bound) for choice in product(*lineup)), key=_rank)
    choices: dict[Choice, None] = {}
    for factor in _TARGETS:
        choices.setdefault(tuple(_within(found, bound * factor) for found in lineup))
    choices.setdefault(tuple(found[0] for found in lineup))
    packings = sorted((pack(c, gpus, bound) for c in choices), key=_over)
    improver = _Improver(lineup, gpus, bound, effort)
    best = min(packings, key=_rank)
    for packing in packings[:_STARTS]:
        found = improver.climb(improver.climb(packing, _over), _rank)
        best = min(best, found, key=_rank)
    chance = random.Random(0)  # noqa: S311 - the same plan for the same inputs
    while not improver.done(best):
        kicked = improver.kick(best, chance)
        found = improver.climb(improver.climb(kicked, _over), _rank)
        best = min(best, found, key=_rank)
    return best


def pack(choice: Choice, gpus: int, bound: float = 0.0) -> Packing:
    """The best order for a choice; widest first, then longest, unless another ends clearly sooner."""
    best: Packing | None = None
    for order in ORDERS:
        found = _outcome(choice, order, gpus, bound)
        if best is None or found.makespan < best.makespan * _CLEARLY:
            best = found
        if best.makespan <= bound * (1 + 1 - _CLEARLY):
            break
    assert best is not None  # noqa: S101 - ORDERS is not empty
    return best


def schedule(names: Sequence[str], choice: Choice, order: str, gpus: int) -> Schedule:
    """The jobs of a choice, with the priorities that start them in this order, simulated."""
    jobs = [job for name, option in zip(names, choice, strict=True) for job in option.jobs(name)]
    return simulate(ranked(sorted(jobs, key=ORDERS[order])), gpus)


def ranked(jobs: Sequence[Job]) -> list[Job]:
    """Jobs with the Snakemake priorities that start them in this order: the last has 1."""
    return [replace(job, priority=len(jobs) - index) for index, job in enumerate(jobs)]


def _within(found: Sequence[Option], seconds: float) -> Option:
    """The cheapest option whose jobs end in time, else the quickest."""
    return next(
        (option for option in found if option.seconds <= seconds),
        min(found, key=lambda option: option.seconds),
    )


def _outcome(choice: Choice, order: str, gpus: int, bound: float) -> Packing:
    flat: list[tuple[int, float]] = []
    for option in sorted(choice, key=ORDERS[order]):
        flat += [(option.gpus, option.seconds)] * option.shards
    makespan = over = 0.0
    for index, begin in begins(flat, gpus):
        width, seconds = flat[index]
        end = begin + seconds
        makespan = max(makespan, end)
        over += width * max(0.0, end - bound) ** 2
    return Packing(choice, order, makespan, over)


class _Improver:
    """Gives single models other options while that helps, within a budget of simulated jobs."""

    def __init__(
        self, lineup: Sequence[Sequence[Option]], gpus: int, bound: float, budget: int
    ) -> None:
        self._lineup, self._gpus, self._bound, self._left = lineup, gpus, bound, budget

    def done(self, packing: Packing) -> bool:
        """Whether nothing more is to be had, or spent."""
        return self._left <= 0 or packing.makespan <= self._bound * GOOD

    def pack(self, choice: Choice) -> Packing:
        """The outcome of a choice, paid for."""
        self._left -= sum(option.shards for option in choice)
        return pack(choice, self._gpus, self._bound)

    def climb(self, best: Packing, rank: Rank) -> Packing:
        """The best that changes of one model at a time lead to, the longest models first."""
        improved = True
        while improved:
            improved = False
            for index in sorted(range(len(self._lineup)), key=lambda i: -best.choice[i].seconds):
                for option in self._promising(best, index):
                    if self.done(best):
                        return best
                    packing = self.pack(_with(best.choice, index, option))
                    if rank(packing) < rank(best):
                        best, improved = packing, True
        return best

    def kick(self, packing: Packing, chance: random.Random) -> Packing:
        """The outcome with some models' options drawn anew."""
        choice = packing.choice
        for index in chance.sample(range(len(choice)), min(_KICKED, len(choice))):
            promising = self._promising(packing, index)
            if promising:
                choice = _with(choice, index, chance.choice(promising))
        return self.pack(choice)

    def _promising(self, packing: Packing, index: int) -> list[Option]:
        """A model's options that could make a plan shorter: in time, and within the idle GPU-time."""
        idle = self._gpus * packing.makespan - sum(option.area for option in packing.choice)
        now = packing.choice[index]
        return [
            option
            for option in self._lineup[index]
            if option is not now
            and option.seconds < packing.makespan
            and option.area - now.area < idle
        ]


def _with(choice: Choice, index: int, option: Option) -> Choice:
    return (*choice[:index], option, *choice[index + 1 :])
