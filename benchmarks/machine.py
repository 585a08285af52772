"""What the measurements were made on and with."""

import os
import platform
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any


def import_vllm() -> dict[str, Any]:
    """Import vLLM, without CUDA, for all children; its versions, and what importing took."""
    began = time.perf_counter()
    from vllm import LLM, SamplingParams, __version__  # noqa: F401, PLC0415

    seconds = time.perf_counter() - began
    import torch  # noqa: PLC0415

    versions = {"vllm": __version__, "torch": torch.__version__}
    return {**versions, "python": platform.python_version(), "import_seconds": seconds}


def hardware() -> dict[str, Any]:
    """The first GPU that this process may use, its driver, and the CPU."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    cpu = next((line.split(": ")[1] for line in lines if line.startswith("model name")), "?")
    name, driver, memory = _nvidia_smi("name,driver_version,memory.total") or ("CPU", "", "")
    return {
        "gpu": name,
        "driver": driver,
        "gpu_memory_mib": memory,
        "cpu": cpu,
        "cores": os.cpu_count(),
    }


def _nvidia_smi(query: str) -> tuple[str, ...]:
    """What the driver says of the first GPU that this process may use; empty without one."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader,nounits", "-i", first]
    if shutil.which("nvidia-smi") is None:
        return ()
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return tuple(part.strip() for part in answer.strip().split(","))


def used_mib() -> int:
    """Memory in use on that GPU, by anyone; 0 without one."""
    return int((_nvidia_smi("memory.used") or ("0",))[0])


def wait_for_memory(before: int) -> None:
    """Wait until the last engine has left the GPU, or the next one would count its memory."""
    for _ in range(100):
        if used_mib() <= before + 200:
            return
        time.sleep(0.2)
