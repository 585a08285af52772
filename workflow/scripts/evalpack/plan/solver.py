"""Which solver an integer program gets: HiGHS where it is installed, else PuLP's own CBC."""

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from typing import Any

import pulp


class _WarmHiGHS(pulp.HiGHS):  # type: ignore[misc]
    """HiGHS that starts from the variables' values, which PuLP passes to CBC only."""

    def createAndConfigureSolver(self, lp: Any) -> None:  # noqa: N802 - PuLP's name
        with _silence():  # HiGHS greets on stdout before it can be told not to
            super().createAndConfigureSolver(lp)

    def callSolver(self, lp: Any) -> None:  # noqa: N802 - PuLP's name
        import highspy

        start = highspy.HighsSolution()
        start.col_value = [variable.varValue or 0.0 for variable in lp.variables()]
        lp.solverModel.setSolution(start)
        super().callSolver(lp)


def pick_solver(seconds: float, gap: float) -> tuple[pulp.LpSolver, str]:
    """A solver that starts from the variables' initial values, and its name.

    Args:
        seconds: after which it returns the best solution it has.
        gap: share of the optimum within which a solution is good enough.
    """
    highs = _WarmHiGHS(msg=False, timeLimit=seconds, gapRel=gap)
    if highs.available():
        return highs, "HiGHS"
    cbc = pulp.PULP_CBC_CMD(msg=False, timeLimit=seconds, gapRel=gap, warmStart=True)
    return cbc, "CBC"


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Let nothing through to stdout, not from C either."""
    flush = ctypes.CDLL(None).fflush
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - a device
            os.dup2(nowhere.fileno(), 1)
        yield
    finally:
        flush(None)
        os.dup2(kept, 1)
        os.close(kept)
