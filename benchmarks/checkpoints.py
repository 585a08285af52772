"""Checkpoints without weights: a true shape for vLLM's `load_format: dummy`, and a tokenizer.

Random weights of the true shape take the time and memory of the real ones, and no hub is needed.
"""

import json
from pathlib import Path
from typing import Any

from evalpack.models import Model

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "rms_norm_eps": 1e-5,
    "rope_theta": 500000.0,
    "attention_bias": False,
    "mlp_bias": False,
}
QWEN2 = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0,
    "use_sliding_window": False,
}
QWEN3_MOE = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0,
    "attention_bias": False,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "norm_topk_prob": True,
    "use_sliding_window": False,
}
GPT_OSS = {
    "architectures": ["GptOssForCausalLM"],
    "model_type": "gpt_oss",
    "rms_norm_eps": 1e-5,
    "rope_theta": 150000.0,
    "rope_scaling": {
        "rope_type": "yarn",
        "factor": 32.0,
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "original_max_position_embeddings": 4096,
        "truncate": False,
    },
    "attention_bias": True,
    "sliding_window": 128,
    "swiglu_limit": 7.0,
    "quantization_config": {
        "quant_method": "mxfp4",
        "modules_to_not_convert": [
            "model.layers.*.self_attn",
            "model.layers.*.mlp.router",
            "model.embed_tokens",
            "lm_head",
        ],
    },
}


def _sizes(intermediate: int, vocabulary: int, *, tied: bool = False) -> dict[str, Any]:
    return {
        "intermediate_size": intermediate,
        "vocab_size": vocabulary,
        "tie_word_embeddings": tied,
    }


# What config/models.yaml does not say of a shape; any other dense model is taken for a Llama.
SHAPES: dict[str, dict[str, Any]] = {
    "smollm2:135m": {**LLAMA, **_sizes(1536, 49152, tied=True)},
    "llama3.2:1b": {**LLAMA, **_sizes(8192, 128256, tied=True)},
    "llama3.2:3b": {**LLAMA, **_sizes(8192, 128256, tied=True)},
    "llama3.1:8b": {**LLAMA, **_sizes(14336, 128256)},
    "qwen2.5:14b": {**QWEN2, **_sizes(13824, 152064)},
    "qwen2.5-32b": {**QWEN2, **_sizes(27648, 152064)},
    "gpt-oss-120b": {
        **GPT_OSS,
        **_sizes(2880, 201088),
        "moe_intermediate_size": 2880,
        "num_local_experts": 128,
        "layer_types": ["sliding_attention", "full_attention"] * 18,
    },
    "qwen3:30b-a3b": {**QWEN3_MOE, **_sizes(6144, 151936), "moe_intermediate_size": 768},
}


def architecture(model: Model) -> str:
    """What vLLM takes a model of this shape for."""
    return str(SHAPES.get(model.name, LLAMA)["model_type"])


def write_checkpoint(folder: Path, model: Model, tokenizer: Path) -> Path:
    """Write config.json and a tokenizer for `model`.

    Args:
        folder: where to; made if it is missing.
        model: an entry of config/models.yaml that tells its shape.
        tokenizer: folder with a tokenizer.json (byte-level BPE) and a chat template.

    Raises:
        ValueError: if the parameters of the shape differ from the entry's by more than 2 %, or the
            tokenizer has more tokens than the model.
    """
    config = model_config(model)
    known = model.weight_bytes or 0
    if abs(weight_bytes(config) / known - 1) > 0.02:
        raise ValueError(
            f"{model.name}: its shape has {weight_bytes(config):,} bytes, not {known:,}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    for file in tokenizer.iterdir():
        if file.name.startswith(("tokenizer", "chat_template", "special_tokens")):
            (folder / file.name).write_bytes(file.read_bytes())
    _fill_vocabulary(folder / "tokenizer.json", config["vocab_size"])
    return folder


def model_config(model: Model) -> dict[str, Any]:
    """config.json of the model, in the words of transformers."""
    config: dict[str, Any] = {
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.attention_heads,
        "num_key_value_heads": model.kv_heads,
        "head_dim": model.head_size,
        "hidden_size": model.hidden_size,
        "max_position_embeddings": model.context_length,
        "hidden_act": "silu",
        "torch_dtype": model.dtype,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
    }
    if model.experts:
        config |= {"num_experts": model.experts, "num_experts_per_tok": model.experts_per_token}
    if model.name in SHAPES:
        return config | SHAPES[model.name]
    if model.experts:
        raise ValueError(f"{model.name}: no shape is known of this mixture of experts")
    config |= LLAMA | _sizes(0, 128256)
    missing = (model.weight_bytes or 0) - weight_bytes(config)
    each = 2 * 3 * (model.hidden_size or 0) * (model.layers or 0)
    return config | {"intermediate_size": 64 * round(missing / each / 64)}


def weight_bytes(config: dict[str, Any]) -> int:
    """Bytes of the shape's weights, norms and biases left out: 2 a parameter, 17/32 in MXFP4."""
    experts, others = parameters(config)
    packed = config.get("quantization_config", {}).get("quant_method") == "mxfp4"
    return int(experts * (17 / 32 if packed else 2) + others * 2)


def parameters(config: dict[str, Any]) -> tuple[int, int]:
    """Parameters of the experts, and of all else (norms and biases are nothing)."""
    hidden, head = config["hidden_size"], config["head_dim"]
    attention = 2 * hidden * head * (config["num_attention_heads"] + config["num_key_value_heads"])
    experts = config.get("num_experts", 0)
    routed = experts * 3 * hidden * config.get("moe_intermediate_size", 0)
    mlp = experts * hidden if experts else 3 * hidden * config["intermediate_size"]
    embeddings = config["vocab_size"] * hidden * (1 if config["tie_word_embeddings"] else 2)
    layers = config["num_hidden_layers"]
    return layers * routed, embeddings + layers * (attention + mlp)


def words(tokenizer: Path) -> list[str]:
    """English-looking words that are one token each, a space in front."""
    vocabulary = json.loads((tokenizer / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    spaced = (token[1:] for token in vocabulary if token.startswith("Ġ"))
    return sorted(word for word in spaced if word.isascii() and word.isalpha() and word.islower())


def _fill_vocabulary(file: Path, size: int) -> None:
    """Give every token id of the model a text, or detokenising them would cost nothing."""
    tokenizer = json.loads(file.read_text("utf-8"))
    vocabulary: dict[str, int] = tokenizer["model"]["vocab"]
    known = 1 + max(vocabulary.values())
    if known > size:
        raise ValueError(f"{file}: {known} tokens, the model has {size}")
    vocabulary |= {f"Ġx{i}": i for i in range(known, size)}
    file.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
