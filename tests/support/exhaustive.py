"""The best there is, by trying everything: for instances of a few jobs."""

from collections.abc import Sequence
from itertools import permutations, product

from evalpack.plan.options import Option
from evalpack.plan.schedule import begins

_Work = tuple[int, float]


def best_makespan(lineup: Sequence[Sequence[Option]], gpus: int) -> float:
    """The shortest makespan over all choices of options and all schedules.

    Some shortest schedule starts every job as early as the jobs before it let it, in the order in
    which they begin; so all orders of such a serial scheme are tried.
    """
    return min(
        min(_serial(order, gpus) for order in set(permutations(_jobs(choice))))
        for choice in product(*lineup)
    )


def best_greedy(lineup: Sequence[Sequence[Option]], gpus: int) -> float:
    """The shortest that priorities under Snakemake's greedy scheduler lead to."""
    return min(
        min(_greedy(order, gpus) for order in set(permutations(_jobs(choice))))
        for choice in product(*lineup)
    )


def _jobs(choice: Sequence[Option]) -> list[_Work]:
    return [(one.gpus, one.seconds) for one in choice for _ in range(one.shards)]


def _greedy(order: Sequence[_Work], gpus: int) -> float:
    return max(begin + order[index][1] for index, begin in begins(order, gpus))


def _serial(order: Sequence[_Work], gpus: int) -> float:
    """Each job at the first second from which its GPUs are free to its end."""
    placed: list[tuple[float, float, int]] = []
    for width, seconds in order:
        for begin in sorted({0.0, *(end for _, end, _ in placed)}):
            times = [begin, *(b for b, _, _ in placed if begin < b < begin + seconds)]
            if all(sum(w for b, e, w in placed if b <= t < e) + width <= gpus for t in times):
                placed.append((begin, begin + seconds, width))
                break
    return max(end for _, end, _ in placed)
