"""A makespan that no plan can beat."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from evalpack.plan.options import Option

_COARSE, _FINE = 1.02, 1.004
_REACH = 1.8
"""Makespans are tried from the first bound to so many times it in coarse steps, then in fine ones."""
_WEIGHTS = (0.25, 0.5, 1.0, 2.0, 8.0)
_EXACT = 1 + 1e-9

Array = npt.NDArray[np.float64]
Function = Callable[[Array], Array]


def lower_bound(lineup: Sequence[Sequence[Option]], gpus: int) -> float:
    """Seconds that any schedule of these models on so many GPUs takes at least.

    Were M seconds enough, each GPU would be a bin of size M, filled by the jobs it runs. Every model
    takes an option whose jobs last at most M, and for a dual feasible function u (u of the items of
    any full bin sums to 1 at most) the sum of width · u(seconds / M) over all jobs must stay within
    the number of GPUs; taking each model's cheapest option can only make it smaller. With u(x) = x
    that is the GPU-seconds; others count how many long jobs a GPU can hold one after the other
    (Fekete and Schepers 2001, New classes of fast lower bounds for bin packing problems). Jobs at
    least w wide must moreover fit onto the ⌊gpus/w⌋ · w GPUs that such jobs can fill; where a model
    could take narrower ones at more GPU-seconds, the two conditions are weighed against each other
    (a Lagrangian bound, for a few weights). The bound is the largest M for which one of them fails.

    Args:
        lineup: the options of each model; tensor parallel sizes are powers of two.
        gpus: GPUs there are.
    """
    models = [found for found in lineup if found]
    if not models:
        return 0.0
    options = _Options(models, gpus)
    low = max(min(option.seconds for option in found) for found in models)
    high = sum(min(option.area for option in found) for found in models) + low
    low = _bisect(lambda seconds: options.possible(seconds, (_area,)), low, high)
    functions = tuple(_functions())
    for step, reach in ((_COARSE, _REACH), (_FINE, _COARSE)):
        tried = low * step ** np.arange(1, int(np.log(reach) / np.log(step)) + 1)
        failed = (float(m) for m in tried[::-1] if not options.possible(float(m), functions))
        low = max(low, next(failed, low))
    return low


class _Options:
    """The options of a lineup as arrays: a row a model, filled up with options that never fit."""

    def __init__(self, models: Sequence[Sequence[Option]], gpus: int) -> None:
        most = max(map(len, models))
        self.gpus = gpus
        self.seconds = np.full((len(models), most), np.inf)
        self.widths = np.zeros((len(models), most))  # GPUs of all jobs of the option together
        self.gpus_each = np.zeros((len(models), most), dtype=int)
        for row, found in enumerate(models):
            for column, option in enumerate(found):
                self.seconds[row, column] = option.seconds
                self.widths[row, column] = option.shards * option.gpus
                self.gpus_each[row, column] = option.gpus
        # Jobs at least so wide, and the GPUs that they can fill at once where those are not all.
        self.classes = [
            (self.gpus_each >= width, gpus // width * width)
            for width in sorted(set(self.gpus_each.flat) - {0})
            if gpus % width
        ]

    def possible(self, seconds: float, functions: Sequence[Function]) -> bool:
        """Whether none of the functions rules out a makespan of so many seconds."""
        fits = self.seconds <= seconds
        if not fits.any(axis=1).all():
            return False
        share = np.where(fits, self.seconds / seconds, 0.0)
        for function in functions:
            needs = np.where(fits, self.widths * function(share), np.inf)
            if needs.min(axis=1).sum() > self.gpus * _EXACT:
                return False
            for wide, room in self.classes:
                for weight in _WEIGHTS:
                    weighed = (needs * np.where(wide, 1 + weight, 1.0)).min(axis=1).sum()
                    if weighed > (self.gpus + weight * room) * _EXACT:
                        return False
        return True


def _bisect(possible: Callable[[float], bool], low: float, high: float) -> float:
    """The least value (to a millionth) that is possible, where more of it never makes less so."""
    if possible(low):
        return low
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if possible(middle) else (middle, high)
    return low


def _area(share: Array) -> Array:
    return share


def _functions() -> Iterator[Function]:
    """Dual feasible functions on [0, 1], all of them monotone."""
    yield _area
    for k in range(1, 7):
        yield lambda share, k=k: _rounded(share, k)  # type: ignore[misc]
    for edge in (0.1, 0.2, 0.25, 0.3, 1 / 3, 0.4, 0.45, 0.5):
        yield lambda share, edge=edge: _cut(share, edge)  # type: ignore[misc]


def _rounded(share: Array, k: int) -> Array:
    """(k+1)·x is rounded down to a multiple of 1/k, and x kept where it is whole already."""
    scaled = (k + 1) * share
    whole = np.abs(scaled - np.round(scaled)) < 1e-9
    return np.where(whole, share, np.floor(scaled) / k)


def _cut(share: Array, edge: float) -> Array:
    """What leaves less than `edge` beside it fills a bin, and less than `edge` counts nothing."""
    return np.where(share > 1 - edge, 1.0, np.where(share < edge, 0.0, share))
