"""Several engines started side by side, each in a process that is forked from threads."""

import queue
import threading
from collections.abc import Callable

from tenacity import retry, retry_if_exception_message, stop_after_attempt, wait_random

# filelock refuses a fork for the moment in which another thread has a lock file half open: the child
# would inherit it. vLLM locks files while it starts, so that two engines can meet in it.
_unsafe_fork = retry_if_exception_message(match="os.fork is unsafe")


def start_side_by_side(tasks: list[Callable[[], object]]) -> None:
    """Run tasks that start an engine, all but the first in threads that stay until the process ends.

    The kernel ends an engine's processes with the thread that started them. All have ended when this
    returns or raises, so that nobody starts an engine after the others were closed. A task that met
    the moment in which nobody may fork is run again.

    Raises:
        BaseException: the first that a task raised.
    """
    results: queue.Queue[BaseException | None] = queue.Queue()

    def run(task: Callable[[], object]) -> None:
        results.put(_failure(task))
        threading.Event().wait()

    for task in tasks[1:]:
        threading.Thread(target=run, args=(task,), daemon=True).start()
    failed = [_failure(tasks[0])]
    failed += [results.get() for _ in tasks[1:]]
    for failure in failed:
        if failure is not None:
            raise failure


def _failure(task: Callable[[], object]) -> BaseException | None:
    again = retry(
        retry=_unsafe_fork, stop=stop_after_attempt(20), wait=wait_random(0.05, 0.3), reraise=True
    )
    try:
        again(task)()
    except BaseException as error:
        return error
    return None
