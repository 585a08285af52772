"""What a job can be asked to do, in words that go through a socket."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from evalpack.answering import Start


class Task(Protocol):
    """A job's work, in two parts."""

    def prepare(self) -> None:
        """Begin what needs no device and leaves no trace."""

    def run(self, start: Start) -> None:
        """Do it."""


def make_task(said: Mapping[str, Any]) -> Task:
    """The task that a script described.

    Args:
        said: `rule` (generate, pilot) and what the rule's script passed on.

    Raises:
        UserError: if the plan is missing.
    """
    from evalpack.generate import GenerateJob
    from evalpack.pilot import Pilot

    arguments = {key: value for key, value in said.items() if key not in ("rule", "run")}
    kinds: dict[str, type[Any]] = {"generate": GenerateJob, "pilot": Pilot}
    task: Task = kinds[said["rule"]](Path(said["run"]), **arguments)
    return task
