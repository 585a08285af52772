"""A job's process, forked from the server: prepares, waits for its client, does the job, ends."""

import fcntl
import os
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Mapping
from typing import Any, NoReturn

from evalpack import processes, script
from evalpack.answering import Start
from evalpack.engines import gate
from evalpack.engines.vllm import prepare_environment
from evalpack.warm import protocol
from evalpack.warm.tasks import Task, make_task


def main(control: socket.socket, said: Mapping[str, Any], *, ahead: bool) -> NoReturn:
    """Do a job and end this process.

    Args:
        control: to the server, which sends the client's request and its connection.
        said: the task.
        ahead: whether the request is still to come, so that there is time to prepare.
    """
    code = 1
    try:
        code = _live(control, said, ahead=ahead)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Nothing of the server's may run here: no exit handlers, no threads to wait for.
        os._exit(code)


def _live(control: socket.socket, said: Mapping[str, Any], *, ahead: bool) -> int:
    processes.end_with(os.getppid())
    said_meanwhile = os.memfd_create("evalpack")
    fcntl.fcntl(said_meanwhile, fcntl.F_SETFL, os.O_APPEND)
    _redirect(said_meanwhile)
    task: Task | None = None
    if ahead:
        try:
            task = make_task(said)
            task.prepare()
        except Exception:
            traceback.print_exc()
    request, descriptors = protocol.receive(control)
    if request is None:
        return 0
    processes.end_with(None)
    client = socket.socket(fileno=descriptors[0])
    threading.Thread(target=_end_with, args=(client,), daemon=True).start()
    _take_over(request["environment"])
    os.chdir(request["folder"])
    log = script.open_log(request["log"])
    _copy(said_meanwhile, log)
    _redirect(log)

    def told(phase: str) -> None:
        protocol.send(control, {"phase": phase})

    def work() -> None:
        start = Start(began=request["began"], log=log, told=told)
        (task or make_task(said)).run(start)

    code = script.attempt(work)
    _copy(said_meanwhile, log)
    protocol.send(client, {"exit": code})
    return code


def _take_over(environment: Mapping[str, str]) -> None:
    """Have the client's environment, and keep the gate of an engine that is on its way.

    Its processes may be started only now; without the gate they would take a device before the job
    has one.
    """
    wanted = dict(environment)
    prepare_environment(wanted)
    if gate.ADDRESS in os.environ:
        wanted[gate.ADDRESS] = os.environ[gate.ADDRESS]
    os.environ.update(wanted)
    for name in os.environ.keys() - wanted.keys():
        del os.environ[name]


def _redirect(descriptor: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)


def _copy(memory: int, log: int) -> None:
    """Write what was said before there was a log; what is said there later is written later."""
    text = os.pread(memory, os.fstat(memory).st_size, 0)
    os.ftruncate(memory, 0)
    while text:
        text = text[os.write(log, text) :]


def _end_with(client: socket.socket) -> None:
    """End when the client does: the workflow stopped the job, or is gone itself."""
    gone = select.poll()
    gone.register(client, select.POLLRDHUP | select.POLLHUP)
    gone.poll()
    os.kill(os.getpid(), signal.SIGKILL)
