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

Full CUDA graphs spare the launches of a step whose tokens fit into the largest of them: B that are
decoded, and of the B/D requests that end in a step and make room for others B/D · P of new prompts.
Where FlashAttention 3 does not run (`Device.mixed_graphs`), graphs hold for steps without new prompts
only: all but a share min(1, B/D), as if no two requests began in one step. Requests that are one
batch have no such steps. E engines on one GPU share the requests; the GPU takes E · SHARED_GPU times
as long over each one's step, while their hosts work side by side.

The form is the roofline's with two all-reduces a layer (Shoeybi et al. 2019, Megatron-LM); a mixture
of experts touches a share 1 − (1 − k/E)^B of its experts. The constants are fitted to the rows of
tests/unit/golden/measured_speed.yaml; tests/unit/test_plan_cost.py prints how well each is met.
"""

import math
from dataclasses import dataclass

from evalpack.models import Model
from evalpack.plan.hardware import Device
from evalpack.plan.settings import Settings, largest_graph
from evalpack.plan.start import Storage, end_seconds, start_seconds
from evalpack.plan.workload import Workload

COMPUTE_SHARE = 0.69
READ_SHARE = 0.80
KV_SHARE = 0.76
"""Shares of the datasheet's FLOP/s and bandwidth that are reached."""
OVERLAP = 0.25
"""Part of the shorter of computing and reading that does not hide behind the longer."""
EXPERTS_SHARE = 0.56
"""What a mixture of experts reaches of a dense model's shares: its products are many and small."""
TP_SHARE = 0.80
"""What each doubling of the tensor parallel size leaves of them: narrower products, and waiting."""
EXPERTS_IN_WEIGHTS = 0.97
"""Share of a mixture's weights that are experts."""
ALL_REDUCE = 15e-6
"""Seconds that an all-reduce takes however little it carries."""

SCHEDULE = 1.2e-3
SEQUENCE = 23e-6
DETOKENIZE = 5e-6
"""Seconds of the host a step, a step and sequence, and what of the latter makes text of tokens."""
LAUNCH, LAUNCH_COMPILED = 0.55e-3, 0.65e-3
"""Seconds to launch the kernels of one layer one by one, eager and compiled but beyond the graphs."""
LAUNCH_EXPERTS = 1.65e-3
"""The same for a layer that is a mixture of experts."""
LARGEST_COMPILED = 512
"""Largest batch that vLLM captures a CUDA graph for by default, with torch.compile."""
TP_STEP = 2e-3
"""Seconds a step to hand the batch to the workers of a tensor-parallel engine."""
SHARED_GPU = 1.5
"""How much longer a GPU's work takes where two processes take turns on it without MPS."""

FIRST_STEPS = 1.0
"""Seconds that the first steps take more than those after them."""

OVERHEAD_BYTES = 2_700_000_000
"""Activations, CUDA context and buffers on each GPU."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one job takes.

    Attributes:
        start: seconds from when it may have its GPUs to its first request.
        generate: seconds from there to its last token.
        end: seconds from there until the next job can begin.
        batch: requests decoded together, as far as the KV cache holds them, by all engines of a GPU.
        weight_bytes, kv_bytes, other_bytes: on each GPU, at the peak, of all its engines.
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
    """The cost of a job that answers `work` on `settings.tp` devices.

    A model whose shape is not known takes no time to generate: nothing can be said of it.
    """
    room = kv_room(model, device, settings)
    size = batch(model, device, work, settings)
    weights = (model.weight_bytes or 0) // settings.tp
    held = min(max(0, int(room)), _kv_used(model, work, settings, size)) if room else 0
    engines = settings.engines
    return Cost(
        start=start_seconds(model, device, settings, storage),
        generate=generate_seconds(model, device, work, settings),
        batch=size * engines,
        weight_bytes=weights * engines,
        kv_bytes=held * engines,
        other_bytes=OVERHEAD_BYTES * engines if device.memory else 0,
        end=end_seconds(storage),
    )


def generate_seconds(model: Model, device: Device, work: Workload, settings: Settings) -> float:
    """Seconds to answer all requests of `work`; 0 where the model's shape is not known."""
    if not model.active_parameters or not model.weight_bytes or work.requests <= 0:
        return 0.0
    requests = _each(work, settings)
    prefill = prefill_seconds(model, device, settings, requests, work.prompt_tokens)
    together = batch(model, device, work, settings)
    if settings.call is not None:
        together = min(together, settings.call)
    waves, rest = divmod(requests, together)
    steps = waves * step_seconds(model, device, work, settings, together)
    if rest:
        steps += step_seconds(model, device, work, settings, rest)
    alone = waves + (rest > 0) == 1  # a single batch lasts until its longest answer ends
    tokens = max(work.output_tokens, work.longest_output if alone else 0)
    return FIRST_STEPS + prefill + tokens * steps


def batch(model: Model, device: Device, work: Workload, settings: Settings) -> int:
    """Requests that an engine decodes together: `max_num_seqs`, or those that the KV cache holds.

    They are half way through their answers in the mean.
    """
    most = max(1, min(settings.max_num_seqs, _each(work, settings)))
    room = kv_room(model, device, settings)
    if room is None:
        return most
    tokens = room / kv_bytes_each(model, settings.tp)
    return int(max(1, min(most, tokens // (work.prompt_tokens + work.output_tokens / 2))))


def most_sequences(model: Model, device: Device, work: Workload, settings: Settings) -> int | None:
    """Requests whose prompts and whole answers an engine's KV cache holds; None if that is not known.

    With more of them vLLM runs out of cache as they grow, throws some out and computes them again.
    """
    room = kv_room(model, device, settings)
    if room is None:
        return None
    tokens = room / kv_bytes_each(model, settings.tp)
    return int(max(1, tokens // (work.prompt_tokens + work.output_tokens)))


def kv_room(model: Model, device: Device, settings: Settings) -> float | None:
    """Bytes of KV cache that an engine has on each GPU; None where shape or memory are not known."""
    shaped = None not in (model.weight_bytes, model.layers, model.kv_heads, model.head_size)
    if not shaped or not device.memory:
        return None
    if settings.kv_bytes is not None:
        return settings.kv_bytes
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
    return (flops / rate + _carried(model, device, settings.tp, tokens)) * _shared(settings)


def step_seconds(
    model: Model, device: Device, work: Workload, settings: Settings, size: int
) -> float:
    """Seconds of one decode step with `size` requests in the batch, in the mean."""
    on_gpu = _gpu_step(model, device, work, settings.tp, size) * _shared(settings)
    launch, rest = _launch(model, settings), _host_step(settings, size)
    share = _launched(device, work, settings, size)
    slow, quick = (max(on_gpu, host * device.host) for host in (rest + launch, rest))
    return share * slow + (1 - share) * quick


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


def _host_step(settings: Settings, size: int) -> float:
    """Seconds of the host for a step that launches no kernels one by one."""
    sequence = SEQUENCE if settings.detokenize else SEQUENCE - DETOKENIZE
    return SCHEDULE + sequence * size + (TP_STEP if settings.tp > 1 else 0.0)


def _launch(model: Model, settings: Settings) -> float:
    """Seconds of the host to launch a step's kernels one by one."""
    dense = LAUNCH_COMPILED if settings.mode == "compiled" else LAUNCH
    return (LAUNCH_EXPERTS if model.experts else dense) * (model.layers or 0)


def _launched(device: Device, work: Workload, settings: Settings, size: int) -> float:
    """Share of the steps that no CUDA graph holds."""
    if settings.mode == "eager":
        return 1.0
    if settings.mode == "compiled":
        return 1.0 if size > LARGEST_COMPILED else 0.0
    drained = settings.call is not None or _each(work, settings) <= size
    joining = 0.0 if drained else size / max(1.0, work.output_tokens)
    largest = largest_graph(settings.max_num_seqs)
    if not device.mixed_graphs:
        return 1.0 if size > largest else min(1.0, joining)
    return 1.0 if size + joining * work.prompt_tokens > largest else 0.0


def _each(work: Workload, settings: Settings) -> int:
    """Requests that each engine of a GPU answers."""
    return math.ceil(work.requests / settings.engines)


def _shared(settings: Settings) -> float:
    """How much longer the GPU takes over an engine's work where others take turns with it."""
    return SHARED_GPU * settings.engines if settings.engines > 1 else 1.0


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
