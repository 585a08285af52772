"""vLLM's worker with two differences: it waits at the gate, and it measures memory only if it must.

Named to vLLM as `worker_cls`, which is how vLLM lets a worker be replaced; imported by vLLM alone.
"""

from typing import Any

from vllm.platforms import current_platform

from evalpack.engines.gate import pass_through

if current_platform.is_cpu():
    from vllm.v1.worker.cpu_worker import CPUWorker as _Worker
else:
    from vllm.v1.worker.gpu_worker import Worker as _Worker


class GatedWorker(_Worker):  # type: ignore[misc]
    """A worker that touches its device when the job has it."""

    def init_device(self) -> Any:
        """Wait for the job's devices, then take them."""
        pass_through()
        return super().init_device()

    def determine_available_memory(self) -> Any:
        """What the KV cache may take: as given, else measured by a run of the largest batch.

        vLLM makes that run even where the size is given, to compile the model; two seconds that a
        model which is not compiled can do without.
        """
        given = self.vllm_config.cache_config.kv_cache_memory_bytes
        if given and not current_platform.is_cpu() and not self._compiles():
            return given
        return super().determine_available_memory()

    def _compiles(self) -> bool:
        mode = self.vllm_config.compilation_config.mode
        return bool(mode)  # CompilationMode.NONE is 0
