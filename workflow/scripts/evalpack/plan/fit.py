"""Does a model fit: tensor parallel sizes, memory per GPU, and room for the KV cache."""

from collections.abc import Iterator
from dataclasses import replace

from evalpack.errors import UserError
from evalpack.models import Model
from evalpack.plan.cost import OVERHEAD_BYTES, kv_bytes_each, kv_room
from evalpack.plan.hardware import Device
from evalpack.plan.settings import Settings
from evalpack.plan.workload import Workload

UTILIZATION = 0.90
"""Share of a GPU's memory that vLLM may take."""
FULL_BATCH = 96
"""Requests decoded together. An A100 computes for about 115 of them while it reads the weights
once; with many fewer it mostly reads, and twice the GPUs would do more than twice the work."""
LARGEST_BATCH = 1024
"""Requests decoded together that more KV cache is still of use for."""

_SHAPE = ("weight_bytes", "layers", "attention_heads", "kv_heads", "head_size")
_LARGEST = 64
_SHORTEST = 512
"""Tokens of the shortest context that is worth offering."""


def utilization(model: Model) -> float:
    """Share of a GPU's memory that this model's engine may take."""
    return float(model.engine.get("gpu_memory_utilization", UTILIZATION))


def tp_sizes(model: Model, count: int) -> Iterator[int]:
    """Powers of two up to `count` that vLLM can split this model's heads over."""
    heads, kv_heads = model.attention_heads, model.kv_heads
    tp = 1
    while tp <= count:
        # Fewer KV heads than GPUs: each head is kept by several of them.
        kv_go = kv_heads is None or kv_heads % tp == 0 or tp % kv_heads == 0
        if kv_go and (heads is None or heads % tp == 0):
            yield tp
        tp *= 2


def kv_tokens(model: Model, gpu: Device, tp: int) -> int:
    """Tokens that the KV cache holds at this tensor parallel size; negative: weights do not fit."""
    room = kv_room(model, gpu, Settings(tp=tp, utilization=utilization(model)))
    return int((room or 0.0) // kv_bytes_each(model, tp))


def full_batch_tokens(work: Workload) -> int:
    """KV tokens of a full batch: its requests are half way through their answers in the mean."""
    requests = max(1, min(FULL_BATCH, work.requests))
    return int(requests * (work.prompt_tokens + work.output_tokens / 2))


def able_sizes(model: Model, gpu: Device, count: int, work: Workload) -> list[int]:
    """The tensor parallel sizes to choose from, the smallest first.

    From the smallest on which the model runs at all (its KV cache holds the longest request) to the
    smallest whose KV cache holds a full batch: wider ones communicate more and save little, and
    replicas use more GPUs better. Where one GPU will not do, requests are too few to fill a batch, or
    the KV cache does not hold as many as are of use, twice as many are a choice as well. If the model
    says `tensor_parallel_size`, that one alone.

    Args:
        model: with the shape of its checkpoint.
        gpu: the type of every GPU.
        count: GPUs there are.
        work: what the model is asked.

    Raises:
        UserError: naming the model, the bytes it needs and what would fit.
    """
    chosen = model.tensor_parallel_size
    if chosen is not None:
        _check_chosen(model, chosen, count)
    missing = [key for key in _SHAPE if getattr(model, key) is None]
    if missing and chosen is not None:
        return [chosen]  # the user knows what the entry does not say
    if missing:
        raise UserError(
            f"config/models.yaml: {model.name}: {', '.join(missing)} must be given to plan its GPUs"
            " (they are in the model's config.json; `evalpack add` reads them), or else"
            " tensor_parallel_size"
        )
    longest = work.longest
    sizes = [chosen] if chosen is not None else list(tp_sizes(model, count))
    able = [tp for tp in sizes if kv_tokens(model, gpu, tp) >= longest]
    if not able:
        raise UserError(_too_large(model, gpu, count, sizes[-1], longest))
    full = full_batch_tokens(work)
    holding = next((tp for tp in able if kv_tokens(model, gpu, tp) >= full), able[-1])
    useful = min(LARGEST_BATCH, work.requests) * (work.prompt_tokens + work.output_tokens)
    cramped = kv_tokens(model, gpu, holding) < useful
    wider = able[0] > 1 or work.requests < FULL_BATCH or cramped
    most = 2 * holding if wider else holding
    return [tp for tp in able if tp <= most]


def _check_chosen(model: Model, tp: int, count: int) -> None:
    where = f"models.{model.name}: tensor_parallel_size {tp}"
    if tp > count:
        raise UserError(
            f"{where} is more than the {count} GPUs there are; lower it, or raise hardware.gpus"
        )
    if tp not in tp_sizes(model, tp):
        raise UserError(
            f"{where} does not go with {model.attention_heads} attention heads and {model.kv_heads}"
            f" KV heads; use one of {', '.join(map(str, tp_sizes(model, count)))}"
        )


def _too_large(model: Model, gpu: Device, count: int, tp: int, longest: int) -> str:
    """Why a model does not run on `tp` GPUs, and what to do about it, the nearest thing first."""
    usable = utilization(model) * gpu.memory
    needed = (model.weight_bytes or 0) / tp + OVERHEAD_BYTES
    tokens = kv_tokens(model, gpu, tp)
    problem = (
        f"models.{model.name} does not fit on {tp} {gpu.name}: {_gb(model.weight_bytes or 0)} of"
        f" weights take {_gb(needed)} of the {_gb(usable)} usable on each GPU"
    )
    mends = []
    if tokens >= _SHORTEST:
        problem += f", which leaves a KV cache of {tokens} tokens, not the {longest} of the longest request"
        mends.append(
            f"lower max_tokens, or set planning.max_model_len to {tokens // 256 * 256} or less"
        )
    roomy = replace(model, engine={**model.engine, "gpu_memory_utilization": UTILIZATION})
    if utilization(model) < UTILIZATION and kv_tokens(roomy, gpu, tp) >= longest:
        mends.append(f"raise its gpu_memory_utilization to {UTILIZATION:g}")
    quantised = int((usable - OVERHEAD_BYTES) * tp * 0.9)
    if quantised > 0:
        mends.append(f"name a quantised checkpoint of at most {_gb(quantised)}")
    enough = next(
        (n for n in tp_sizes(model, _LARGEST) if kv_tokens(model, gpu, n) >= longest), None
    )
    if enough is not None and enough <= count:
        mends.append(f"raise its tensor_parallel_size to {enough}")
    elif enough is not None:
        mends.append(f"give it {enough} such GPUs (hardware.gpus)")
    return f"{problem}; {', or '.join([*mends, 'take it out of models'])}"


def _gb(number: float) -> str:
    return f"{number / 1e9:.1f} GB"
