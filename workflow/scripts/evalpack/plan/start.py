"""Seconds until a job's first request, and from its last token until the next job can begin.

A cold job is a process of its own: it imports vLLM, then starts its engine. A warm one is forked from
a process that has imported vLLM, once a run, and prepares while the GPU is still another job's: what
is left is what needs the GPU. So a run of warm jobs has a lead-in, and each of them a short start.
"""

from dataclasses import dataclass

from evalpack.models import Model
from evalpack.plan.hardware import Device
from evalpack.plan.settings import Settings, capture_sizes

JOB, END = 10.0, 4.0
"""Seconds of a cold job before it imports vLLM (interpreter, libraries, samples, GPUs), and after its
last token (engine and process end, the shard is written, the next job starts)."""
IMPORT = 20.0
"""Seconds to import vLLM and torch."""
WORKFLOW, WARM_IMPORT = 5.0, 23.0
"""Seconds from the start of a workflow until the process that warm jobs are forked from imports, and
of its importing: vLLM, torch, workers and the models' classes."""
WARM_JOB, WARM_END = 0.3, 0.4
"""The same of a warm job: Snakemake and the lease hand over; the engine is killed, the GPU freed."""

CONFIGURE = 2.0
CONTEXT = 1.3
LOAD = 1.8
PROFILE = 1.9
WARM_UP = 1.6
"""Seconds of an engine's start: configuration and process; CUDA context; building the model, no
weights read; what measuring the memory adds; first kernels."""
WARM_ENGINE = 2.2
"""The same of a warm job: context, model and first kernels, whose modules are imported already."""
TP_ENGINE, TP_WARM = 12.0, 6.0
"""More for the workers of a tensor-parallel engine and their communicator, cold and warm."""
SECOND_ENGINE, SECOND_WARM = 2.0, 0.1
"""More for another engine that starts on the same GPU at the same time, cold and warm."""
CAPTURE_FULL = 0.1
"""More for a captured graph of the mode `graphs`."""
COLD_COMPILE, COLD_COMPILE_LAYER = 0.4, 0.8
WARM_COMPILE, WARM_COMPILE_LAYER = 14.0, 0.25
CAPTURE = 0.12
"""More for torch.compile, with an empty cache and with a filled one, and a graph of its own."""
INSPECT = 21.0
"""More for the first model of an architecture on a machine, which vLLM looks into in a process of its
own. Nothing for warm jobs."""
COLD_TRITON = 19.0
"""More where Triton's kernels are not built: once a machine, and for the first mixture of experts."""
CPU_ENGINE = 15.0
"""Seconds from configuration to ready on a CPU."""


@dataclass(frozen=True, slots=True)
class Storage:
    """Where weights come from, in bytes/s onto the GPUs, and what the machine has done before.

    `compiled`: torch.compile's cache has the model. `inspected`: vLLM knows its architecture.
    `triton`: Triton's kernels for it are built. `warm`: jobs are forked from a process that has
    imported vLLM, and prepare while the GPU is another's. `queue`: seconds that a job waits in a
    cluster's queue, while the GPUs that it will have count as its own.
    """

    bytes_per_second: float = 2e9
    compiled: bool = False
    inspected: bool = True
    triton: bool = True
    warm: bool = False
    queue: float = 0.0


def lead_seconds(device: Device) -> float:
    """Seconds from the start of a run of warm jobs until the first can be forked."""
    return WORKFLOW + WARM_IMPORT * device.host


def start_seconds(model: Model, device: Device, settings: Settings, storage: Storage) -> float:
    """Seconds from when a job may have its GPUs to its first request, the cluster's queue among them."""
    before = WARM_JOB if storage.warm else JOB + IMPORT * device.host
    return storage.queue + before + engine_seconds(model, device, settings, storage)


def end_seconds(storage: Storage) -> float:
    """Seconds from a job's last token until the next can have its GPUs."""
    return WARM_END if storage.warm else END


def engine_seconds(model: Model, device: Device, settings: Settings, storage: Storage) -> float:
    """Seconds that an engine takes to start while it has the GPUs; cold, from its configuration on."""
    seconds = (model.weight_bytes or 0) / storage.bytes_per_second
    if not device.memory:
        return seconds + CPU_ENGINE
    parts = WARM_ENGINE if storage.warm else CONFIGURE + CONTEXT + LOAD + WARM_UP
    if settings.kv_bytes is None or settings.mode == "compiled":  # which vLLM compiles by measuring
        parts += PROFILE
    second = SECOND_WARM if storage.warm else SECOND_ENGINE
    seconds += parts * device.host + second * (settings.engines - 1)
    if settings.tp > 1:
        seconds += TP_WARM if storage.warm else TP_ENGINE
    if settings.mode == "graphs":
        seconds += CAPTURE_FULL * len(capture_sizes(settings.max_num_seqs))
    if settings.mode == "compiled":
        layers = model.layers or 0
        cold = COLD_COMPILE + COLD_COMPILE_LAYER * layers
        warm = min(cold, WARM_COMPILE + WARM_COMPILE_LAYER * layers)
        seconds += (warm if storage.compiled else cold) + CAPTURE * settings.captured
    seconds += 0.0 if storage.inspected or storage.warm else INSPECT
    return seconds + (0.0 if storage.triton else COLD_TRITON)
