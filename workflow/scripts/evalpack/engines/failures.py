"""Why an engine's process failed, in the words of the exception that it died of.

vLLM's processes log what kills them and tell the process in front no more than that they are dead.
A logging handler that they inherit by fork hands the exception's own words over.
"""

import contextlib
import logging
import os
import re

_LOGGER = "vllm"
_MOST = 4000  # a pipe takes so much at once, so that two processes do not mix their lines
_MEMORY = re.compile(
    r"out of memory|Free memory on device|No available memory for the cache"
    r"|(available|needed).*KV cache memory|Error in memory profiling|CUBLAS_STATUS_ALLOC_FAILED"
    r"|CUDA_ERROR_OUT_OF_MEMORY",
    re.IGNORECASE,
)
_FREE = re.compile(r"Free memory on device \S* ?\(([\d.]+)/([\d.]+) GiB\)")
_AFTERMATH = ("EngineDeadError", "EngineCore failed", "Engine core initialization failed")


class FailureLog(logging.Handler):
    """Collects the exceptions that processes forked from this one log."""

    def __init__(self) -> None:
        """Listen to vLLM's log in processes that are forked from now on."""
        super().__init__(logging.ERROR)
        self._owner = os.getpid()
        self._closed_pipe = False
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        logging.getLogger(_LOGGER).addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """In a child: hand the exception over."""
        if os.getpid() == self._owner or not record.exc_info or record.exc_info[1] is None:
            return
        error = record.exc_info[1]
        line = f"{type(error).__name__}: {' '.join(str(error).split())}"
        with contextlib.suppress(OSError):
            os.write(self._write, line.encode("utf-8", "replace")[:_MOST] + b"\n")

    def reasons(self) -> list[str]:
        """What the processes have said, the first in front; each exception once."""
        said = b""
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self._read, 65536):
                said += chunk
        lines = said.decode("utf-8", "replace").splitlines()
        return [line for line in dict.fromkeys(lines) if not line.startswith(_AFTERMATH)]

    def close(self) -> None:
        """Listen no more."""
        logging.getLogger(_LOGGER).removeHandler(self)
        if not self._closed_pipe:
            self._closed_pipe = True
            os.close(self._read)
            os.close(self._write)
        super().close()


def is_memory(reason: str) -> bool:
    """Whether a failure says that the GPU's memory did not suffice."""
    return _MEMORY.search(reason) is not None


def free_share(reason: str) -> float | None:
    """Share of the GPU's memory that was free, if the failure tells."""
    found = _FREE.search(reason)
    return float(found[1]) / float(found[2]) if found else None
