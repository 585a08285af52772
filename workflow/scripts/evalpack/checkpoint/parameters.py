"""Parameters that take part in making one token."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evalpack.checkpoint.attention import is_text, layer_of
from evalpack.checkpoint.quantization import Quantization
from evalpack.checkpoint.source import Source
from evalpack.checkpoint.stored import Stored
from evalpack.errors import UserError

_EXPERTS = ("num_local_experts", "n_routed_experts", "num_experts", "moe_num_experts")
_PER_TOKEN = (
    "num_experts_per_tok",
    "num_experts_per_token",
    "experts_per_token",
    "moe_topk",
    "moe_k",
    "top_k",  # last, as old configs hold the sampling parameter of this name
)
_NUMBERED = re.compile(r"\.experts\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class Parameters:
    """Counts of parameters; a dense model has no experts."""

    active: int
    experts: int | None = None
    experts_per_token: int | None = None


def count_parameters(
    source: Source,
    text: Mapping[str, Any],
    stored: Stored,
    quantization: Quantization,
    *,
    layers: int,
    tied: bool,
) -> Parameters:
    """Count the language model's parameters, of experts those that a token meets.

    Args:
        source: the checkpoint, which errors name.
        text: the language model's part of config.json.
        stored: its tensors.
        quantization: how packed tensors are unpacked.
        layers: of the model; layers behind them are for speculative decoding.
        tied: the output layer is the embedding, so that a stored one is a copy.

    Raises:
        UserError: if config.json and the tensors disagree about experts.
    """
    shared = routed = 0
    numbered: set[int] = set()
    for name, tensor in stored.tensors.items():
        layer = layer_of(name)
        copy = tied and name.endswith("lm_head.weight")
        if not is_text(name) or copy or (layer is not None and layer >= layers):
            continue
        count = quantization.parameters(name, tensor)
        if "experts" not in name.split("."):
            shared += count
            continue
        routed += count
        if found := _NUMBERED.search(name):
            numbered.add(int(found[1]))
    experts = _number(text, _EXPERTS)
    if not routed and not (experts and experts > 1):
        return Parameters(shared)
    chosen = _number(text, _PER_TOKEN)
    if not routed or not experts or not chosen or chosen > experts:
        raise UserError(
            f"{source.name}: config.json says {chosen} of {experts} experts a token, and"
            f" {'some' if routed else 'no'} tensors are experts'; write the entry by hand"
        )
    if numbered and len(numbered) != experts:
        raise UserError(
            f"{source.name}: config.json says {experts} experts, the tensors have {len(numbered)};"
            " write the entry by hand"
        )
    return Parameters(shared + routed * chosen // experts, experts, chosen)


def _number(text: Mapping[str, Any], keys: tuple[str, ...]) -> int | None:
    return next((text[key] for key in keys if isinstance(text.get(key), int)), None)
