"""A crude estimate of how long a job takes; good enough to order jobs by.

One engine step decodes a token of every request in the batch. It takes the longer of computing and
of reading the weights, a part of the shorter, and the reading of the KV cache.
"""

from evalpack.models import Model
from evalpack.plan.fit import PROMPT_TOKENS, kv_tokens
from evalpack.plan.hardware import Device

START_SECONDS = 30.0
"""Imports and engine start, without reading weights."""
LOAD_BYTES_PER_SECOND = 2e9
STEP_SECONDS = 0.005
"""Scheduling and sampling of one step."""
COMPUTE_SHARE = 0.6
WEIGHT_READ_SHARE = 0.8
KV_READ_SHARE = 0.7
"""Shares of the datasheet's FLOP/s and bandwidth that are reached."""
OVERLAP = 0.25
"""Part of the shorter of computing and reading that does not hide behind the longer."""


def start_seconds(model: Model) -> float:
    """Seconds from the start of a job to its first request."""
    return START_SECONDS + (model.weight_bytes or 0) / LOAD_BYTES_PER_SECOND


def generation_seconds(
    model: Model, device: Device, tp: int, requests: int, output_tokens: int
) -> float:
    """Seconds to answer `requests` with `output_tokens` each, on one engine of `tp` devices.

    0 where the model's weights or active parameters are not known.
    """
    if not model.active_parameters or not model.weight_bytes or requests <= 0:
        return 0.0
    held = PROMPT_TOKENS + output_tokens // 2  # KV tokens of a request half way
    batch = min(device.max_num_seqs, requests)
    shaped = None not in (model.layers, model.kv_heads, model.head_size)
    if shaped and device.memory:
        batch = max(1, min(batch, kv_tokens(model, device, tp) // held))
    tokens = batch * (1 + PROMPT_TOKENS / max(1, output_tokens))  # a step also reads new prompts
    compute = 2 * model.active_parameters * tokens / (tp * device.flops * COMPUTE_SHARE)
    weights = model.weight_bytes / (tp * device.bandwidth * WEIGHT_READ_SHARE)
    kv_bytes = batch * held * model.kv_bytes_per_token if shaped else 0
    kv = kv_bytes / (tp * device.bandwidth * KV_READ_SHARE)
    step = max(compute, weights) + OVERLAP * min(compute, weights) + kv + STEP_SECONDS
    return requests * output_tokens / batch * step
