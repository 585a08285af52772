"""When a run was worked on: each `snakemake` that was started on it is a session."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from evalpack.telemetry.facts import Facts
from evalpack.telemetry.spans import Span, peak, union


@dataclass(frozen=True, slots=True)
class Session:
    """From when a workflow's first job was asked to start to the end of its last.

    The time in between counts whether a job ran or not: what the workflow does between two jobs
    keeps the GPUs idle. The time between two sessions is nobody's.

    Attributes:
        span: epoch seconds.
        gpus: that it could use; 0 if none of its jobs had one.
        attempts: that fall into it.
    """

    span: Span
    gpus: int
    attempts: int

    @property
    def begin(self) -> str:
        """UTC, to the millisecond; it tells a session from the others of its run."""
        return utc(self.span[0])

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.span[1] - self.span[0]


def sessions(attempts: Sequence[Facts], gpus: int, known: Mapping[str, int]) -> list[Session]:
    """The sessions of a run, in order.

    Args:
        attempts: that are over. Those whose workflow is not known count as a workflow each.
        gpus: that the run may use now; more are assumed where more were in use at one time, and
            none where no job had one: a machine without has a CPU slot in their place.
        known: GPUs of earlier sessions, by `begin`: a run can go on with fewer or with more.
    """
    workflows: dict[str | int, list[Span]] = {}
    for number, facts in enumerate(attempts):
        workflows.setdefault(facts.workflow or number, []).append(facts.span)
    whole = [
        (min(begin for begin, _ in spans), max(end for _, end in spans))
        for spans in workflows.values()
    ]
    made = []
    for span in union(whole):
        inside = [facts for facts in attempts if span[0] <= facts.began <= span[1]]
        used = peak((facts.lease, len(facts.devices)) for facts in inside if facts.lease)
        could = max(known.get(utc(span[0]), gpus), used) if used else 0
        made.append(Session(span, could, len(inside)))
    return made


def utc(time: float) -> str:
    """Epoch seconds as `2026-11-23T01:02:03.456Z`."""
    stamp = datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds")
    return stamp.replace("+00:00", "Z")
