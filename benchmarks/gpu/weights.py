"""Real safetensors of a Llama's shape, with made-up numbers, so that loading them takes its time."""

import json
from pathlib import Path
from typing import Any

_SHARD = 4 << 30


def write_weights(folder: Path) -> int:
    """Write the weights that config.json in `folder` describes, in bfloat16; their bytes.

    The numbers are one small block over and over: their time does not depend on them.
    """
    import torch  # noqa: PLC0415
    from safetensors.torch import save_file  # noqa: PLC0415

    config = json.loads((folder / "config.json").read_text("utf-8"))
    block = torch.randn(1 << 20, dtype=torch.float32).mul_(0.02).bfloat16()
    shapes = _shapes(config)
    shards: list[dict[str, tuple[int, ...]]] = [{}]
    held = 0
    for name, shape in shapes.items():
        size = 2 * torch.Size(shape).numel()
        if held + size > _SHARD and shards[-1]:
            shards.append({})
            held = 0
        shards[-1][name] = shape
        held += size
    (folder / "model.safetensors").unlink(missing_ok=True)
    where: dict[str, str] = {}
    for i, shard in enumerate(shards, start=1):
        file = f"model-{i:05}-of-{len(shards):05}.safetensors"
        tensors = {name: _filled(block, shape) for name, shape in shard.items()}
        save_file(tensors, folder / file, metadata={"format": "pt"})
        where |= dict.fromkeys(shard, file)
    total: int = sum(2 * torch.Size(shape).numel() for shape in shapes.values())
    index = {"metadata": {"total_size": total}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return total


def _filled(block: Any, shape: tuple[int, ...]) -> Any:
    import torch  # noqa: PLC0415

    count = torch.Size(shape).numel()
    return block.repeat(-(-count // block.numel()))[:count].reshape(shape).contiguous()


def _shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    hidden, middle, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    query = config["num_attention_heads"] * head
    key = config["num_key_value_heads"] * head
    layer = {
        "self_attn.q_proj": (query, hidden),
        "self_attn.k_proj": (key, hidden),
        "self_attn.v_proj": (key, hidden),
        "self_attn.o_proj": (hidden, query),
        "mlp.gate_proj": (middle, hidden),
        "mlp.up_proj": (middle, hidden),
        "mlp.down_proj": (hidden, middle),
        "input_layernorm": (hidden,),
        "post_attention_layernorm": (hidden,),
    }
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (config["vocab_size"], hidden),
        "model.norm.weight": (hidden,),
    }
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (config["vocab_size"], hidden)
    for i in range(config["num_hidden_layers"]):
        shapes |= {f"model.layers.{i}.{name}.weight": shape for name, shape in layer.items()}
    return shapes
