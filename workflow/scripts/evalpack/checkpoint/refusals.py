"""Checkpoints that config.json or the files show to be none that an entry can describe."""

from collections.abc import Mapping
from typing import Any

from evalpack.checkpoint.source import Source, read_json
from evalpack.errors import UserError

# `...ForConditionalGeneration` are vision-language models, and encoder-decoders (told apart below).
_GENERATES = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
_ATTENTION = {"full_attention", "sliding_attention", "chunked_attention", "attention"}
# Keys that only models with state-space, recurrent or linear-attention layers have.
_STATE_KEYS = (
    "ssm_cfg",
    "state_size",
    "mamba_d_state",
    "mamba_d_conv",
    "ssm_state_size",
    "time_step_rank",
    "lru_width",
    "hybrid_override_pattern",
    "attn_layer_period",
    "linear_attn_config",
    "linear_num_key_heads",
)
# rwkv stores nothing else that tells it from a transformer.
_STATE_TYPES = ("rwkv", "mamba", "jamba", "zamba", "recurrent", "xlstm")


def read_config(source: Source) -> dict[str, Any]:
    """config.json of a checkpoint that holds a whole model.

    Raises:
        UserError: for a LoRA adapter, or a folder without config.json.
    """
    if (adapter := read_json(source, "adapter_config.json")) is not None:
        base = adapter.get("base_model_name_or_path") or "its base model"
        raise UserError(
            f"{source.name} is a LoRA adapter of {base}; merge the two and add the merged model"
        )
    if (config := read_json(source, "config.json")) is not None:
        return config
    if any(file.endswith(".gguf") for file in source.files):
        why = "GGUF files only; give the checkpoint they were made of, in safetensors"
    elif "params.json" in source.files:
        why = "Mistral's own format only; give the repository that has config.json as well"
    else:
        why = "no config.json; give the folder or repository of a whole model"
    raise UserError(f"{source.name} holds {why}")


def text_part(config: Mapping[str, Any]) -> dict[str, Any]:
    """The language model's part of config.json, under which a vision-language model nests it."""
    for key in ("text_config", "llm_config", "language_config"):
        if isinstance(config.get(key), dict):
            return dict(config[key])
    return dict(config)


def refuse_unfit(source: Source, config: Mapping[str, Any]) -> None:
    """Refuse what is no decoder with plain keys and values.

    Raises:
        UserError: one sentence that says what it is.
    """
    _refuse_other_tasks(source, config)
    text = text_part(config)
    kind = str(text.get("model_type") or config.get("model_type"))
    layers = set(text.get("layer_types") or text.get("layers_block_type") or ()) - _ATTENTION
    state = [key for key in _STATE_KEYS if text.get(key) is not None]
    if layers or state or kind.startswith(_STATE_TYPES):
        raise UserError(
            f"{source.name}: `{kind}` has layers that are not attention"
            f" ({', '.join(sorted(layers) or state or [kind])}); evalpack plans the memory of plain"
            " keys and values only, so write the entry by hand"
        )
    if text.get("kv_lora_rank") is not None:
        raise UserError(
            f"{source.name}: `{kind}` has multi-head latent attention (kv_lora_rank), whose cache"
            " is not keys and values of heads; write the entry by hand"
        )
    _refuse_own_code(source, config)


def _refuse_other_tasks(source: Source, config: Mapping[str, Any]) -> None:
    architectures = [str(name) for name in config.get("architectures") or ()]
    if not architectures:
        raise UserError(
            f"{source.name}: config.json names no architecture, so no engine can load it"
        )
    name = architectures[0]
    if config.get("is_encoder_decoder") or name.startswith(("T5", "MT5", "UMT5")):
        raise UserError(f"{source.name}: {name} is an encoder-decoder, not a causal language model")
    if name.endswith(("ForSequenceClassification", "ForRewardModel", "RewardModel")):
        raise UserError(f"{source.name}: {name} gives scores, not text")
    if not name.endswith(_GENERATES):
        raise UserError(f"{source.name}: {name} is not a causal language model")


def _refuse_own_code(source: Source, config: Mapping[str, Any]) -> None:
    if "auto_map" in config and not _is_known(str(config.get("model_type"))):
        raise UserError(
            f"{source.name} runs Python code of its own (auto_map in config.json); if you trust it,"
            " write the entry by hand, with `trust_remote_code: true`"
        )


def _is_known(model_type: str) -> bool:
    """Whether transformers has the model itself: many a checkpoint keeps code it once needed."""
    try:
        from transformers import CONFIG_MAPPING
    except ImportError:
        return False
    return model_type in CONFIG_MAPPING
