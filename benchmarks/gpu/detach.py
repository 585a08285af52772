"""Runs that outlive the command that started them.

    python benchmarks/gpu/all.py --detach LOG …           # returns at once
    python benchmarks/gpu/all.py --wait LOG --seconds N    # follows; exits with the run's code

The run writes its process id and, at its end, its exit code beside LOG. `--wait` exits with 75 (try
again) if the run goes on when its time is up.
"""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

STILL_RUNNING = 75
_BODY = """
import os, subprocess, sys
code = subprocess.call(sys.argv[2:])
with open(sys.argv[1] + ".new", "w") as file:
    file.write(str(code))
os.replace(sys.argv[1] + ".new", sys.argv[1])
"""


def detach(log: Path, command: Sequence[str]) -> int:
    """Start a command in a session of its own; its process id."""
    log.parent.mkdir(parents=True, exist_ok=True)
    _beside(log, "exit").unlink(missing_ok=True)
    body = [sys.executable, "-c", _BODY, str(_beside(log, "exit")), *command]
    with log.open("wb") as output:
        process = subprocess.Popen(
            body,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _beside(log, "pid").write_text(str(process.pid), encoding="utf-8")
    return process.pid


def wait(log: Path, seconds: float) -> int:
    """Print what the run says as it says it, for so many seconds at most; its exit code."""
    deadline = time.monotonic() + seconds
    with log.open(encoding="utf-8", errors="replace") as file:
        while True:
            code = _code(log)  # asked before reading, so that nothing said before the end is missed
            sys.stdout.write(file.read())
            sys.stdout.flush()
            if code is not None:
                return code
            if time.monotonic() >= deadline:
                return STILL_RUNNING
            time.sleep(0.5)


def _code(log: Path) -> int | None:
    """The run's exit code; 1 if it was killed, None while it runs."""
    pid = int(_beside(log, "pid").read_text("utf-8"))
    runs = psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    file = _beside(log, "exit")
    if file.exists():
        return int(file.read_text("utf-8"))
    return None if runs else 1


def _beside(log: Path, what: str) -> Path:
    return log.with_name(f"{log.name}.{what}")
