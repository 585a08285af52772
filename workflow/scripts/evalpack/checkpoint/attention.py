"""Keys and values as the tensors have them, to hold config.json against."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from evalpack.checkpoint.quantization import Quantization
from evalpack.checkpoint.stored import Stored

# Parts of a multimodal model that text never passes through.
_OTHER_SENSES = frozenset(
    (
        *("vision_tower", "vision_model", "vision_encoder", "vision_embed_tokens", "visual"),
        *("multi_modal_projector", "mm_projector", "mlp1", "projector", "connector"),
        *("pre_mm_projector_norm", "vision_language_adapter", "patch_merger", "embed_vision"),
        *("audio_tower", "audio_model", "embed_audio", "image_newline"),
    )
)
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks|layer)\.(\d+)\.")
_KEYS = frozenset(("k_proj", "wk", "key", "key_proj"))
_FUSED = frozenset(("qkv_proj", "Wqkv", "wqkv", "query_key_value", "c_attn", "qkv", "W_pack"))
_MATRIX = frozenset(("weight", "qweight", "weight_packed"))


def is_text(name: str) -> bool:
    """Whether a tensor belongs to the language model."""
    return _OTHER_SENSES.isdisjoint(name.split("."))


def layer_of(name: str) -> int | None:
    """The layer that a tensor belongs to, or None."""
    found = _LAYER.search(name)
    return int(found[1]) if found else None


@dataclass(frozen=True, slots=True)
class Keys:
    """The projections that make keys (or queries, keys and values in one).

    Attributes:
        layers: how many layers have one.
        width: rows of the projection; None if layers differ, or there is none.
        fused: whether queries and values are in it.
    """

    layers: int
    width: int | None
    fused: bool

    def kv_width(self, query_width: int) -> float | None:
        """KV heads × head size."""
        if self.width is None:
            return None
        return (self.width - query_width) / 2 if self.fused else self.width


def read_keys(stored: Stored, quantization: Quantization, layers: int, hidden_size: int) -> Keys:
    """Find them by name: `k_proj` and its like, or one that holds all three.

    Args:
        stored: the checkpoint's tensors.
        quantization: how to unpack them.
        layers: of the model; what lies behind them (for speculative decoding) is left out.
        hidden_size: what the projections take in.
    """
    found: list[tuple[int, bool, int]] = []
    for name, layer, module in _attention(stored):
        if layer < layers and (module in _KEYS or module in _FUSED):
            numbers = quantization.parameters(name, stored.tensors[name])
            found.append((layer, module in _FUSED, numbers // hidden_size))
    kinds = Counter((fused, width) for _, fused, width in found)
    alike = len(kinds) == 1 and len(found) == len({layer for layer, _, _ in found})
    fused, width = next(iter(kinds), (False, 0))
    return Keys(len({layer for layer, _, _ in found}), width if alike else None, fused)


def _attention(stored: Stored) -> Iterator[tuple[str, int, str]]:
    """Name, layer and module of the matrices of self-attention."""
    for name in stored.tensors:
        path = name.split(".")
        layer = layer_of(name)
        if layer is None or len(path) < 3 or path[-1] not in _MATRIX or not is_text(name):
            continue
        above = path[:-2]
        if any("attn" in p or "attention" in p for p in above) and not any(
            "cross" in p or "encoder" in p for p in above
        ):
            yield name, layer, path[-2]
