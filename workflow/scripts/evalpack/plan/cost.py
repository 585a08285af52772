"""The cost model: seconds and bytes of a job, by its model, GPUs and engine settings.

An engine reads its prompts (`prefill`) and then makes one token of every request in its batch a
step (`decode`). A decode step takes as long as the slower of two: the GPU, which computes, reads the
weights and the KV cache, and talks to its neighbours; and the host, which launches the layers'
kernels (unless CUDA graphs do), schedules, samples and turns tokens into text. With P tokens in and
D out, R requests and a batch of B:

    generate   = first steps + prefill(R·P) + full waves · D · step(B) + D · step(R mod B)
    step(B)    = max(gpu(B), host(B))
    gpu(B)     = max(gemm, read) + 0.25·min(gemm, read) + kv + comm
    gemm       = 2 · active parameters · B / (tp · FLOP/s · COMPUTE_SHARE)
    read       = weights touched / (tp · bandwidth · READ_SHARE)
    kv         = B · (P + D/2) · KV bytes a token / (tp · bandwidth · KV_SHARE)
    comm       = 2 · layers · (ALL_REDUCE + 2·(tp−1)/tp · B · hidden · 2 / link)          for tp > 1
    host(B)    = (SCHEDULE + SEQUENCE·B + layers · LAUNCH, without graphs) · host factor

The form is the roofline's with two all-reduces a layer (Shoeybi et al. 2019, Megatron-LM); a mixture
of experts touches a share 1 − (1 − k/E)^B of its experts. The constants are fitted to the rows of
tests/unit/golden/measured_speed.yaml; tests/unit/test_plan_cost.py prints how well each is met.
"""

import math
from dataclasses import dataclass

from evalpack.models import Model
from evalpack.plan.hardware import Device
from evalpack.plan.workload import Workload

COMPUTE_SHARE = 0.67
READ_SHARE = 0.75
KV_SHARE = 0.70
"""Shares of the datasheet's FLOP/s and bandwidth that are reached."""
OVERLAP = 0.25
"""Part of the shorter of computing and reading that does not hide behind the longer."""
EXPERTS_SHARE = 0.57
"""What a mixture of experts reaches of a dense model's shares: its products are many and small."""
TP_SHARE = 0.85
"""What each doubling of the tensor parallel size leaves of them: narrower products, and waiting."""
EXPERTS_IN_WEIGHTS = 0.97
"""Share of a mixture's weights that are experts."""
ALL_REDUCE = 15e-6
"""Seconds that an all-reduce takes however little it carries."""

SCHEDULE = 1e-3
SEQUENCE = 25e-6
DETOKENIZE = 8e-6
"""Seconds of the host a step, a step and sequence, and what of the latter makes text of tokens."""
LAUNCH, LAUNCH_COMPILED = 0.51e-3, 0.57e-3
"""Seconds to launch the kernels of one layer one by one, eager and compiled but beyond the graphs."""
LAUNCH_EXPERTS = 1.6e-3
"""The same for a layer that is a mixture of experts."""
LARGEST_GRAPH = 512
"""Largest batch that vLLM captures a CUDA graph for by default."""
TP_STEP = 2e-3
"""Seconds a step to hand the batch to the workers of a tensor-parallel engine."""
SHARED_GPU = 1.65
"""How much longer a GPU's work takes where two processes take turns on it without MPS."""

JOB, END = 10.0, 4.0
"""Seconds of a job before it imports vLLM (interpreter, libraries, samples, GPUs), and after its last
token (engine and process end, the shard is written, the next job starts)."""
IMPORT = 20.0
"""Seconds to import vLLM and torch."""
ENGINE = 8.0
"""Seconds from configuration to ready: CUDA context, profiling, warm-up; no weights read."""
TP_ENGINE = 12.0
"""More for the workers of a tensor-parallel engine and their communicator."""
COLD_COMPILE, COLD_COMPILE_LAYER = 0.4, 0.8
WARM_COMPILE, WARM_COMPILE_LAYER = 14.0, 0.25
CAPTURE = 0.12
"""More for torch.compile, with an empty cache and with a filled one, and a captured graph."""
INSPECT = 21.0
"""More for the first model of an architecture on a machine, which vLLM looks into in a process of its own."""
COLD_TRITON = 19.0
"""More where Triton's kernels are not built: once a machine, and for the first mixture of experts."""
FIRST_STEPS = 1.2
"""Seconds that the first steps take more than those after them."""
GRAPHS = 51
"""CUDA graphs that vLLM captures by default."""
CPU_ENGINE = 15.0
"""Seconds from configuration to ready on a CPU."""

OVERHEAD_BYTES = 2_700_000_000
"""Activations, CUDA context and buffers on each GPU."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How an engine is run.

    Attributes:
        tp: tensor parallel size.
        max_num_seqs: requests decoded together at most.
        eager: no torch.compile, no CUDA graphs.
        utilization: share of a GPU's memory that the engine takes.
        graphs: CUDA graphs that are captured, unless `eager`.
        call: requests handed over at a time, which the engine drains before the next; None for a
            sliding window that never drains.
        detokenize: whether tokens become text.
        engines: engines that share each GPU.
    """

    tp: int = 1
    max_num_seqs: int = 1024
    eager: bool = True
    utilization: float = 0.9
    graphs: int = GRAPHS
    call: int | None = None
    detokenize: bool = True
    engines: int = 1


@dataclass(frozen=True, slots=True)
class Storage:
    """Where weights come from, in bytes/s onto the GPUs, and what the machine has done before.

    `compiled`: torch.compile's cache has the model. `inspected`: vLLM knows its architecture.
    `triton`: Triton's kernels for it are built.
    """

    bytes_per_second: float = 2e9
    compiled: bool = False
    inspected: bool = True
    triton: bool = True


@dataclass(frozen=True, slots=True)
class Cost:
    """What one job takes.

    Attributes:
        start: seconds from its first line to its first request.
        generate: seconds from there to its last token.
        end: seconds from there until the next job can begin.
        batch: requests decoded together, as far as the KV cache holds them.
        weight_bytes, kv_bytes, other_bytes: on each GPU, at the peak.
    """

    start: float
    generate: float
    batch: int
    weight_bytes: int
    kv_bytes: int
    other_bytes: int
    end: float = 0.0

    @property
    def seconds(self) -> float:
        """Seconds of the whole job."""
        return self.start + self.generate + self.end

    @property
    def peak_bytes(self) -> int:
        """Bytes on each GPU at the peak; vLLM takes all that it may for its KV cache."""
        return self.weight_bytes + self.kv_bytes + self.other_bytes


def job_cost(
    model: Model, device: Device, work: Workload, settings: Settings, storage: Storage
) -> Cost:
    """The cost of a job that answers `work` on one engine of `settings.tp` devices.

    A model whose shape is not known takes no time to generate: nothing can be said of it.
    """
    room = kv_room(model, device, settings)
    size = batch(model, device, work, settings)
    weights = (model.weight_bytes or 0) // settings.tp
    held = min(max(0, int(room)), _kv_used(model, work, settings, size)) if room else 0
    return Cost(
        start=JOB + start_seconds(model, device, settings, storage),
        generate=generate_seconds(model, device, work, settings),
        batch=size,
        weight_bytes=weights,
        kv_bytes=held,
        other_bytes=OVERHEAD_BYTES if device.memory else 0,
        end=END,
    )


def start_seconds(model: Model, device: Device, settings: Settings, storage: Storage) -> float:
    """Seconds to import vLLM and to start an engine, until its first request."""
    seconds = IMPORT * device.host + (model.weight_bytes or 0) / storage.bytes_per_second
    if not device.memory:
        return seconds + CPU_ENGINE
    seconds += ENGINE * device.host
    if settings.tp > 1:
        seconds += TP_ENGINE
    if not settings.eager:
        layers = model.layers or 0
        cold = COLD_COMPILE + COLD_COMPILE_LAYER * layers
        warm = min(cold, WARM_COMPILE + WARM_COMPILE_LAYER * layers)
        seconds += (warm if storage.compiled else cold) + CAPTURE * settings.graphs
    seconds += 0.0 if storage.inspected else INSPECT
    return seconds + (0.0 if storage.triton else COLD_TRITON)


def generate_seconds(model: Model, device: Device, work: Workload, settings: Settings) -> float:
    """Seconds to answer all requests of `work`; 0 where the model's shape is not known."""
    if not model.active_parameters or not model.weight_bytes or work.requests <= 0:
        return 0.0
    prefill = prefill_seconds(model, device, settings, work.requests, work.prompt_tokens)
    together = batch(model, device, work, settings)
    if settings.call is not None:
        together = min(together, settings.call)
    waves, rest = divmod(work.requests, together)
    steps = waves * step_seconds(model, device, work, settings, together)
    if rest:
        steps += step_seconds(model, device, work, settings, rest)
    alone = waves + (rest > 0) == 1  # a single batch lasts until its longest answer ends
    tokens = max(work.output_tokens, work.longest_output if alone else 0)
    return FIRST_STEPS + prefill + tokens * steps


def batch(model: Model, device: Device, work: Workload, settings: Settings) -> int:
    """Requests decoded together: `max_num_seqs`, or those whose tokens the KV cache holds."""
    most = max(1, min(settings.max_num_seqs, work.requests))
    room = kv_room(model, device, settings)
    if room is None:
        return most
    tokens = room / kv_bytes_each(model, settings.tp)
    return int(max(1, min(most, tokens // (work.prompt_tokens + work.output_tokens / 2))))


def kv_room(model: Model, device: Device, settings: Settings) -> float | None:
    """Bytes left for the KV cache on each GPU; None where shape or memory are not known."""
    shaped = None not in (model.weight_bytes, model.layers, model.kv_heads, model.head_size)
    if not shaped or not device.memory:
        return None
    mine = settings.utilization * device.memory / settings.engines
    return mine - (model.weight_bytes or 0) / settings.tp - OVERHEAD_BYTES


def kv_bytes_each(model: Model, tp: int) -> float:
    """Bytes of KV cache that a token takes on each of `tp` GPUs.

    Where there are fewer KV heads than GPUs, each is kept by several of them.
    """
    heads = model.kv_heads or 1
    return model.kv_bytes_per_token / heads * max(1, heads // tp)


def prefill_seconds(
    model: Model, device: Device, settings: Settings, requests: int, prompt_tokens: float
) -> float:
    """Seconds to read prompts: matrix products, attention over itself, and all-reduces."""
    tokens = requests * prompt_tokens
    width = (model.attention_heads or 0) * (model.head_size or 0)
    attention = 2 * (model.layers or 0) * width * prompt_tokens  # FLOPs a token, causal
    flops = tokens * (2 * (model.active_parameters or 0) + attention)
    rate = settings.tp * device.flops * COMPUTE_SHARE * _reached(model, settings.tp)
    seconds = flops / rate + _carried(model, device, settings.tp, tokens)
    return seconds * (SHARED_GPU * settings.engines if settings.engines > 1 else 1)


def step_seconds(
    model: Model, device: Device, work: Workload, settings: Settings, size: int
) -> float:
    """Seconds of one decode step with `size` requests in the batch."""
    on_gpu = _gpu_step(model, device, work, settings.tp, size)
    on_host = _host_step(model, settings, size) * device.host
    if settings.engines > 1:  # they take turns, and nothing hides behind another's turn
        return on_host + on_gpu * SHARED_GPU * settings.engines
    return max(on_gpu, on_host)


def _gpu_step(model: Model, device: Device, work: Workload, tp: int, size: int) -> float:
    share = _reached(model, tp)
    gemm = 2 * (model.active_parameters or 0) * size / (tp * device.flops * COMPUTE_SHARE * share)
    read = _touched(model, size) / (tp * device.bandwidth * READ_SHARE * share)
    kv = 0.0
    if None not in (model.layers, model.kv_heads, model.head_size):
        held = size * (work.prompt_tokens + work.output_tokens / 2) * kv_bytes_each(model, tp)
        kv = held / (device.bandwidth * KV_SHARE)
    comm = _carried(model, device, tp, size)
    if tp > 1:
        comm += 2 * (model.layers or 0) * ALL_REDUCE
    return max(gemm, read) + OVERLAP * min(gemm, read) + kv + comm


def _host_step(model: Model, settings: Settings, size: int) -> float:
    sequence = SEQUENCE if settings.detokenize else SEQUENCE - DETOKENIZE
    seconds = SCHEDULE + sequence * size + (TP_STEP if settings.tp > 1 else 0.0)
    if settings.eager or size > LARGEST_GRAPH:
        dense = LAUNCH if settings.eager else LAUNCH_COMPILED
        seconds += (LAUNCH_EXPERTS if model.experts else dense) * (model.layers or 0)
    return seconds


def _carried(model: Model, device: Device, tp: int, tokens: float) -> float:
    """Seconds that the all-reduces of so many tokens take by their size."""
    if tp == 1:
        return 0.0
    bytes_each = tokens * (model.hidden_size or 0) * 2
    return 2 * (model.layers or 0) * 2 * (tp - 1) / tp * bytes_each / device.link


def _reached(model: Model, tp: int) -> float:
    """What is left of the shares of a dense model on one GPU."""
    return float((EXPERTS_SHARE if model.experts else 1.0) * TP_SHARE ** math.log2(tp))


def _touched(model: Model, size: int) -> float:
    """Bytes of weights that a step reads."""
    if not model.experts or not model.experts_per_token:
        return float(model.weight_bytes or 0)
    share = 1 - (1 - model.experts_per_token / model.experts) ** size
    rest = 1 - EXPERTS_IN_WEIGHTS
    return (model.weight_bytes or 0) * (rest + EXPERTS_IN_WEIGHTS * share)


def _kv_used(model: Model, work: Workload, settings: Settings, size: int) -> int:
    tokens = size * (work.prompt_tokens + work.output_tokens)
    return int(tokens * kv_bytes_each(model, settings.tp))
