"""A rule's script as the client of the warm server."""

import os
import sys
import time
from typing import Any

from evalpack import script
from evalpack.processes import die_with_workflow, process_began
from evalpack.warm import protocol

ADDRESS = "EVALPACK_WARM"


def run(rule: str, *, log: str, **arguments: Any) -> None:
    """Have the server do a job, or do it here if there is none, and exit with the job's code.

    Args:
        rule: see `tasks.make_task`.
        log: the job's log.
        arguments: of the task: `run` (the run's folder), `slug`, and so on.
    """
    die_with_workflow()
    if "SLURM_JOB_ID" in os.environ:  # weights are staged; nodes often have no internet
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    task = {"rule": rule, **arguments}
    code = _ask(task, log)
    if code is None:
        script.run(lambda: _do(task), log=log)
    elif code:
        sys.exit(code)


def _do(task: dict[str, Any]) -> None:
    from evalpack.answering import Start
    from evalpack.warm.tasks import make_task

    make_task(task).run(Start())


def _ask(task: dict[str, Any], log: str) -> int | None:
    """The exit code of the job that the server forked; None where there is no server."""
    address = os.environ.get(ADDRESS)
    connection = protocol.connect(address) if address else None
    if connection is None:
        return None
    request = {
        "task": task,
        "log": os.path.abspath(log),  # noqa: PTH100 - a path to be, links and all
        "folder": os.getcwd(),  # noqa: PTH109
        "environment": dict(os.environ),
        "prefix": sys.prefix,
        "began": process_began(),
    }
    if not protocol.send(connection, request):
        return None
    answer, _ = protocol.receive(connection)
    if answer is None or "accepted" not in answer:
        return None  # it could not import vLLM, or is of another environment
    answer, _ = protocol.receive(connection)
    if answer is not None:
        return int(answer["exit"])
    with open(log, "a", encoding="utf-8") as file:  # noqa: PTH123
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        file.write(f"{now} error: the job's process was killed\n")
    return 1
