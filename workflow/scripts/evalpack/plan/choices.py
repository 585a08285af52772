"""The engine settings that are worth trying for a model: modes, batches, engines on a GPU, KV cache."""

import math
from dataclasses import replace

from evalpack.errors import UserError
from evalpack.models import Model
from evalpack.plan.cost import job_cost, kv_bytes_each, kv_room, most_sequences
from evalpack.plan.hardware import Device
from evalpack.plan.settings import MODES, Mode, Settings
from evalpack.plan.start import Storage
from evalpack.plan.workload import Workload

BATCHES = (64, 128, 256, 512, 1024)
"""Values of `max_num_seqs` that are tried, as far as the KV cache holds them."""
WORTH = 0.99
"""A larger batch must take at most this share of a smaller one's time."""
MOST_ENGINES = 2
"""Engines on one GPU that the plan tries."""
SPARE_BYTES = 6_000_000_000
"""What is left on a GPU beside a KV cache of a size that the plan says, for each engine: memory is not
measured then, and activations may take more than `OVERHEAD_BYTES`."""
_MARGIN = 1.25
"""The KV cache's size over what a full batch takes: prompts and answers are not all of the mean."""
_ROUND = 8


def choices(
    model: Model, device: Device, work: Workload, storage: Storage, tp: int, utilization: float
) -> list[Settings]:
    """Settings of engines on `tp` GPUs: for each mode and number of engines the best batch.

    Args:
        model: the model; what its `engine` says stands.
        device: what it runs on.
        work: all that it is asked.
        storage: where its weights come from.
        tp: tensor parallel size.
        utilization: share of a GPU's memory that the engines may take.

    Raises:
        UserError: if the model asks for more engines on a GPU than fit.
    """
    found = []
    for engines in _engines(model, device, work, tp, utilization):
        for mode in _modes(model, device):
            plain = Settings(
                tp, mode=mode, utilization=utilization, engines=engines, kv_bytes=_given_kv(model)
            )
            found.append(_best_batch(model, device, work, storage, plain))
    return found


def _modes(model: Model, device: Device) -> tuple[Mode, ...]:
    """The modes to choose from, or what the user said, as vLLM takes it."""
    eager = model.engine.get("enforce_eager")
    if eager or not device.memory:
        return ("eager",)
    said = eager is not None or "compilation_config" in model.engine
    return ("compiled",) if said else MODES


def _engines(
    model: Model, device: Device, work: Workload, tp: int, utilization: float
) -> tuple[int, ...]:
    """Numbers of engines on one GPU to choose from."""
    given = model.engine.get("engines_per_gpu")
    if given is not None:
        _check_engines(model, device, work, tp, utilization, given)
        return (given,)
    if tp > 1 or not device.memory or "kv_cache_memory_bytes" in model.engine:
        return (1,)
    counts = range(1, MOST_ENGINES + 1)
    return tuple(n for n in counts if n == 1 or _hold(model, device, work, n, utilization))


def _hold(model: Model, device: Device, work: Workload, engines: int, utilization: float) -> bool:
    """Whether so many engines leave each other room for a batch, with some to spare."""
    room = kv_room(model, device, Settings(utilization=utilization, engines=engines))
    if room is None or work.requests < 2 * engines * BATCHES[0]:
        return False
    tokens = max(work.longest, BATCHES[0] * (work.prompt_tokens + work.output_tokens))
    return room - SPARE_BYTES >= tokens * kv_bytes_each(model, 1)


def _check_engines(
    model: Model, device: Device, work: Workload, tp: int, utilization: float, count: object
) -> None:
    where = f"models.{model.name}: engines_per_gpu {count}"
    if type(count) is not int or count < 1:
        raise UserError(f"{where} must be a whole number, 1 or more")
    if count > 1 and tp > 1:
        raise UserError(
            f"{where}: only engines on one GPU each can share it, and these span {tp}; leave it out"
        )
    shared = Settings(utilization=utilization, engines=count)
    room = kv_room(model, device, shared)
    request = (work.prompt_tokens + work.output_tokens) * kv_bytes_each(model, 1)
    if count > 1 and room is not None and room < request:
        raise UserError(
            f"{where}: {count} engines with {(model.weight_bytes or 0) / 1e9:.1f} GB of weights each"
            f" do not fit on one {device.name}; give fewer, or leave it out"
        )


def _best_batch(
    model: Model, device: Device, work: Workload, storage: Storage, plain: Settings
) -> Settings:
    """The settings with the smallest batch that is about as fast as the best."""
    best, least = None, math.inf
    for size in _batches(model, device, work, plain):
        settings = _with_cache(model, device, work, replace(plain, max_num_seqs=size))
        seconds = job_cost(model, device, work, settings, storage).seconds
        if best is None or seconds < least * WORTH:
            best, least = settings, seconds
        if size * plain.engines >= work.requests:
            break
    assert best is not None  # noqa: S101 - there is always a batch to try
    return best


def _batches(model: Model, device: Device, work: Workload, plain: Settings) -> list[int]:
    """Values of `max_num_seqs` to try, the smallest first.

    None is more than the KV cache holds whole: what vLLM throws out for want of cache is made twice.
    """
    given = model.engine.get("max_num_seqs")
    if given is not None:
        return [int(given)]
    # vLLM refuses more sequences than tokens in a step.
    most = min(BATCHES[-1], int(model.engine.get("max_num_batched_tokens", BATCHES[-1])))
    held = most_sequences(model, device, work, plain)
    if held is not None and held < most:
        most = held // _ROUND * _ROUND or held
    return [*(size for size in BATCHES if size < most), most]


def _with_cache(model: Model, device: Device, work: Workload, settings: Settings) -> Settings:
    """The settings with a KV cache of the size that is needed, where that leaves room to spare.

    vLLM then need not measure what memory is left. Not with torch.compile, whose compilation is
    part of the measuring; and what the user says of memory stands.
    """
    said = {"gpu_memory_utilization", "kv_cache_memory_bytes"} & model.engine.keys()
    room = kv_room(model, device, settings)
    if said or room is None or settings.mode == "compiled":
        return settings
    whole = settings.max_num_seqs * (work.prompt_tokens + work.output_tokens)
    needed = max(whole, work.longest) * kv_bytes_each(model, settings.tp)
    if room - needed < SPARE_BYTES:
        return settings
    return replace(settings, kv_bytes=int(min(_MARGIN * needed, room - SPARE_BYTES)))


def _given_kv(model: Model) -> int | None:
    """Bytes of KV cache that the user gives an engine on each GPU."""
    given = model.engine.get("kv_cache_memory_bytes")
    return int(given) if isinstance(given, int | float) else None
