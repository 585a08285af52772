"""Starting and ending the warm server with the workflow."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from evalpack.engines.factory import TEST_ENGINE
from evalpack.jobs import RunSpec
from evalpack.paths import RunPaths
from evalpack.warm import protocol
from evalpack.warm.client import ADDRESS

_END_SECONDS = 5.0
_LIBRARY = Path(__file__).parents[2]


class WarmServer:
    """The server of a workflow on this machine; none where it would be of no use."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, spec: RunSpec, paths: RunPaths) -> None:
        """Start it, if jobs of this run will start vLLM on this machine.

        The server imports vLLM while the workflow goes on; jobs that come sooner wait for it.
        """
        wanted = spec.config["planning"]["warm_start"] and any(
            job.gpus and job.model.backend != "openai" for job in spec.models
        )
        if not wanted or not _has_engine():
            return
        try:
            self._start(paths)
        except OSError as error:  # no memory, no processes: jobs start by themselves
            print(f"warning: jobs start without the warm server: {error}", flush=True)

    def _start(self, paths: RunPaths) -> None:
        listener, address = protocol.listen()
        log = paths.run / "logs" / "warm.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with listener, log.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "evalpack.warm.server",
                    str(listener.fileno()),
                    str(paths.run),
                ],
                pass_fds=[listener.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C reaches the workflow alone
                env={**os.environ, "PYTHONPATH": _python_path()},
            )
        os.environ[ADDRESS] = address

    def stop(self) -> None:
        """End it, and with it all that was prepared and is not needed."""
        os.environ.pop(ADDRESS, None)
        if self._process is not None:
            self._process.kill()
            self._process.wait(_END_SECONDS)
            self._process = None


def _has_engine() -> bool:
    return TEST_ENGINE in os.environ or importlib.util.find_spec("vllm") is not None


def _python_path() -> str:
    return os.pathsep.join(
        path for path in (str(_LIBRARY), os.environ.get("PYTHONPATH", "")) if path
    )
