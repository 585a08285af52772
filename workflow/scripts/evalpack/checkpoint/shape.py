"""The shape of a model: config.json, held against the tensors."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evalpack.checkpoint.attention import read_keys
from evalpack.checkpoint.quantization import Quantization
from evalpack.checkpoint.source import Source
from evalpack.checkpoint.stored import Stored
from evalpack.errors import UserError

_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_HEADS = ("num_attention_heads", "n_head", "n_heads")
_KV_HEADS = ("num_key_value_heads", "num_kv_heads", "n_head_kv")
_HIDDEN = ("hidden_size", "n_embd", "d_model")
_CONTEXT = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx")
_DTYPES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers of an entry that say what KV cache and parallelism need."""

    layers: int
    attention_heads: int
    kv_heads: int
    head_size: int
    hidden_size: int
    context_length: int
    dtype: str


class _Unclear(Exception):
    """What config.json leaves open, or contradicts the tensors in."""


def read_shape(
    source: Source, text: Mapping[str, Any], stored: Stored, quantization: Quantization
) -> Shape:
    """Read the shape out of the language model's part of config.json.

    Raises:
        UserError: if config.json leaves something open that transformers does not know either,
            or the tensors contradict it.
    """
    try:
        return _shape(text, stored, quantization)
    except _Unclear as unclear:
        why = str(unclear)
    # Keys that have their class's default value are often left out of config.json.
    if (full := _with_defaults(text)) is not None:
        try:
            return _shape(full, stored, quantization)
        except _Unclear as unclear:
            why = str(unclear)
    raise UserError(f"{source.name}: {why}; write the entry by hand")


def _shape(text: Mapping[str, Any], stored: Stored, quantization: Quantization) -> Shape:
    layers, heads, hidden, context = (
        _number(text, keys) for keys in (_LAYERS, _HEADS, _HIDDEN, _CONTEXT)
    )
    keys = read_keys(stored, quantization, layers, hidden)
    if keys.layers != layers:
        raise _Unclear(
            f"{keys.layers} of its {layers} layers are known to have keys and values of their own"
        )
    head_size = text.get("head_dim") or hidden // heads
    kv_width = keys.kv_width(heads * head_size)
    kv_heads = next((text[key] for key in _KV_HEADS if isinstance(text.get(key), int)), None)
    if kv_heads is None and kv_width is not None and kv_width % head_size == 0:
        kv_heads = int(kv_width // head_size)
    if not kv_heads or kv_width is None or kv_heads * head_size != kv_width:
        raise _Unclear(
            f"config.json says {kv_heads} KV heads of size {head_size}, the tensors say otherwise"
            + (f" ({kv_width:g} numbers a token)" if kv_width is not None else " (layers differ)")
        )
    return Shape(layers, heads, kv_heads, head_size, hidden, context, _dtype(text, stored))


def _number(text: Mapping[str, Any], keys: tuple[str, ...]) -> int:
    for key in keys:
        if isinstance(text.get(key), int) and text[key] > 0:
            return int(text[key])
    raise _Unclear(f"config.json does not say {keys[0]}")


def _dtype(text: Mapping[str, Any], stored: Stored) -> str:
    said = str(text.get("dtype") or text.get("torch_dtype")).removeprefix("torch.")
    sizes: Counter[str] = Counter()
    for tensor in stored.tensors.values():
        if tensor.dtype in _DTYPES:
            sizes[_DTYPES[tensor.dtype]] += tensor.size
    held = sizes.most_common(1)[0][0] if sizes else "bfloat16"
    # float32 is also what is written when nobody chose: it would double weights stored in 16 bits.
    return said if said in ("bfloat16", "float16") or said == held else held


def _with_defaults(text: Mapping[str, Any]) -> dict[str, Any] | None:
    """config.json with the defaults of the model's class in transformers, if there is one."""
    try:
        from transformers import CONFIG_MAPPING, AutoConfig
    except ImportError:
        return None
    kind = text.get("model_type")
    if kind not in CONFIG_MAPPING:
        return None
    given = {k: v for k, v in text.items() if k not in ("model_type", "quantization_config")}
    try:
        known: dict[str, Any] = AutoConfig.for_model(kind, **given).to_dict()
    except Exception:  # a config that its own class does not take
        return None
    return {**known, **text}
