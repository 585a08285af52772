"""What every script of a rule does around its one call: log, errors as sentences, an end in time."""

import errno
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from evalpack.errors import UserError
from evalpack.processes import die_with_workflow

# Disk full, over quota, read-only: for the user to mend, no place in the code.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def run(task: Callable[[], object], log: str) -> None:
    """Run a job's task with all output, also of its child processes, in the log.

    A `UserError` ends the job with its sentence, anything else with a traceback, both in the log.
    """
    die_with_workflow()
    target = open_log(log)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(target, 1)
    os.dup2(target, 2)
    if code := attempt(task):
        sys.exit(code)


def open_log(log: str) -> int:
    """Open a job's log to append to it."""
    path = Path(log)
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)


def attempt(task: Callable[[], object]) -> int:
    """Run a task; its exit code, after saying what went wrong."""
    try:
        task()
    except UserError as error:
        print(f"error: {error}", flush=True)
        return 1
    except OSError as error:
        if error.errno not in FULL:
            traceback.print_exc()
        print(f"error: {error.strerror}: {error.filename or Path.cwd()}", flush=True)
        return 1
    except Exception:
        traceback.print_exc()
        return 1
    return 0
