"""Checkpoints whose safetensors files have true headers and no data: gigabytes that cost nothing."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

BYTES = {
    "BF16": 2,
    "F16": 2,
    "F32": 4,
    "I32": 4,
    "I64": 8,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
}
Tensors = dict[str, tuple[str, tuple[int, ...]]]

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TOKENIZER: dict[str, Any] = {"chat_template": CHATML, "eos_token": "<|im_end|>"}


def header(tensors: Tensors) -> tuple[bytes, int]:
    """The head of a safetensors file (length and JSON), and the bytes of data that follow it."""
    described: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (dtype, shape) in tensors.items():
        begin, end = end, end + BYTES[dtype] * math.prod(shape)
        described[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(described).encode()
    return len(text).to_bytes(8, "little") + text, end


def safetensors(file: Path, tensors: Tensors) -> None:
    """Write a sparse file."""
    head, data = header(tensors)
    with file.open("wb") as content:
        content.write(head)
        content.truncate(len(head) + data)


def write(
    folder: Path,
    config: Mapping[str, Any],
    tensors: Tensors,
    tokenizer: Mapping[str, Any] = TOKENIZER,
    parts: int = 1,
) -> Path:
    """A folder with config.json, tokenizer_config.json and the weights, in parts with an index."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    if parts == 1:
        safetensors(folder / "model.safetensors", tensors)
        return folder
    weight_map: dict[str, str] = {}
    for part in range(parts):
        file = f"model-{part + 1:05}-of-{parts:05}.safetensors"
        mine = dict(list(tensors.items())[part::parts])
        safetensors(folder / file, mine)
        weight_map |= dict.fromkeys(mine, file)
    write_index(folder, weight_map, sum(BYTES[d] * math.prod(s) for d, s in tensors.values()))
    return folder


def write_index(folder: Path, weight_map: Mapping[str, str], total: int) -> None:
    """Write model.safetensors.index.json."""
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def attention(
    at: str, hidden: int, heads: int, kv_heads: int, size: int, *, bias: str = ""
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """q, k, v and o of a layer; `bias` names those that have one, for example `qkv`."""
    for letter, out in (("q", heads * size), ("k", kv_heads * size), ("v", kv_heads * size)):
        yield f"{at}.{letter}_proj.weight", (out, hidden)
        if letter in bias:
            yield f"{at}.{letter}_proj.bias", (out,)
    yield f"{at}.o_proj.weight", (hidden, heads * size)
    if "o" in bias:
        yield f"{at}.o_proj.bias", (hidden,)


def mlp(at: str, hidden: int, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """A gated feed-forward block."""
    yield f"{at}.gate_proj.weight", (width, hidden)
    yield f"{at}.up_proj.weight", (width, hidden)
    yield f"{at}.down_proj.weight", (hidden, width)


def llama(
    config: Mapping[str, Any], *, bias: str = "", head: bool = True, dtype: str = "BF16"
) -> Tensors:
    """The tensors of a Llama, Mistral or Qwen2 (which has biases at q, k and v)."""
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    size = config.get("head_dim") or hidden // heads
    vocabulary = config["vocab_size"]
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocabulary, hidden)}
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}"
        kv_heads = config["num_key_value_heads"]
        shapes |= attention(f"{at}.self_attn", hidden, heads, kv_heads, size, bias=bias)
        shapes |= mlp(f"{at}.mlp", hidden, config["intermediate_size"])
        shapes |= {f"{at}.{norm}_layernorm.weight": (hidden,) for norm in ("input", "post")}
    shapes["model.norm.weight"] = (hidden,)
    if head:
        shapes["lm_head.weight"] = (vocabulary, hidden)
    return {name: (dtype, shape) for name, shape in shapes.items()}
