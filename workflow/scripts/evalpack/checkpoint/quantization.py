"""How a checkpoint is quantised, and how many parameters a stored tensor then stands for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evalpack.checkpoint.source import Source, read_json
from evalpack.checkpoint.tensors import Tensor
from evalpack.errors import UserError

_FLOATS = ("F", "BF")  # F32, F16, BF16, F8_E4M3: one parameter a number
# Masks and tables that some checkpoints store beside their parameters.
_BUFFER = re.compile(r"(?:inv_freq|position_ids|masked_bias|causal_mask)$")
# What turns packed numbers back into weights.
_SCALE = re.compile(
    r"(?:scales?(?:_inv|_2)?|absmax|quant_map|q?zeros|zero_point|g_idx|SCB|weight_shape"
    r"|weight_format)$|\.quant_state\."
)
_MODELOPT = {"FP8": 8, "NVFP4": 4, "W4A16_AWQ": 4}


@dataclass(frozen=True, slots=True)
class Quantization:
    """A checkpoint's quantisation.

    Attributes:
        method: its name, as config.json has it; None if there is none.
        bits: bits of a number that is packed in integers.
    """

    method: str | None = None
    bits: int | None = None

    def parameters(self, name: str, tensor: Tensor) -> int:
        """How many parameters a tensor stands for: none for scales, zero points and masks."""
        if _BUFFER.search(name) or _is_mask(name, tensor):
            return 0
        if self.method is not None and _SCALE.search(name):
            return 0
        if tensor.dtype.startswith(_FLOATS):
            return tensor.numbers
        return tensor.size * 8 // self.bits if self.bits else 0


def read_quantization(source: Source, config: Mapping[str, Any]) -> Quantization:
    """Read `quantization_config` of config.json, or ModelOpt's file beside it.

    Raises:
        UserError: for a method that is not known here.
    """
    found = config.get("quantization_config") or config.get("compression_config")
    beside = read_json(source, "hf_quant_config.json") if not found else None
    if beside is not None:
        found = {"quant_method": "modelopt", **(beside.get("quantization") or {})}
    if not isinstance(found, dict):
        return Quantization()
    method = str(found.get("quant_method")).replace("_", "-").removeprefix("fbgemm-")
    bits = _bits(method, found)
    if bits is None:
        raise UserError(
            f"{source.name}: its quantisation `{found.get('quant_method')}` is not understood;"
            " write the entry by hand"
        )
    return Quantization(method, bits)


def _bits(method: str, found: Mapping[str, Any]) -> int | None:
    bits: Any = None
    if method in ("gptq", "awq"):
        bits = found.get("bits") or found.get("w_bit")
    elif method == "compressed-tensors":
        groups = (found.get("config_groups") or {}).values()
        widths = {((group or {}).get("weights") or {}).get("num_bits") for group in groups}
        bits = widths.pop() if len(widths) == 1 else None
    elif method == "bitsandbytes":
        bits = 4 if found.get("load_in_4bit") or found.get("_load_in_4bit") else 8
    elif method == "modelopt":
        bits = _MODELOPT.get(str(found.get("quant_algo")))
    else:
        bits = {"mxfp4": 4, "fp8": 8}.get(method)
    return bits if isinstance(bits, int) and 1 <= bits <= 8 else None


def _is_mask(name: str, tensor: Tensor) -> bool:
    """GPT-2's causal mask, which is stored as if it were a bias: 1 × 1 × length × length."""
    return name.endswith("attn.bias") and len(tensor.shape) == 4
