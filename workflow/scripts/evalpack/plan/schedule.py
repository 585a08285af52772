"""In what order jobs start: the widest first, then the longest."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeVar


class Job(Protocol):
    """What ordering looks at."""

    @property
    def name(self) -> str: ...
    @property
    def gpus(self) -> int: ...
    @property
    def estimated_seconds(self) -> float: ...


J = TypeVar("J", bound=Job)


def widest_then_longest(jobs: Iterable[J]) -> list[J]:
    """Jobs in the order to start them; equal ones stay as they came.

    A wide job needs several GPUs free at once: put off, it leaves them idle one after the other. A
    long job started last runs alone.
    """
    return sorted(jobs, key=lambda job: (-job.gpus, -job.estimated_seconds))


def priorities(ordered: Sequence[Job]) -> Mapping[str, int]:
    """Snakemake priorities by name: the first job has the highest, the last has 1."""
    return {job.name: len(ordered) - index for index, job in enumerate(ordered)}
