"""Keys: digests of all that decides an answer, and nothing that does not.

Two rows with one key have one answer. Shards, tensor parallel size, batch and memory never enter.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from evalpack.engines.base import Message

# Fields whose spelled-out default means the same as leaving them out.
_NEUTRAL = {
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "repetition_penalty": 1.0,
    "min_tokens": 0,
    "ignore_eos": False,
    "stop": [],
    "stop_token_ids": [],
    "bad_words": [],
    "include_stop_str_in_output": False,
    "skip_special_tokens": True,
    "spaces_between_special_tokens": True,
}
_FRACTIONS = {
    "temperature",
    "top_p",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
}
# Engine arguments that change speed or memory, not answers (up to floating-point order).
_SPEED_ONLY = {
    "backend",
    "tensor_parallel_size",
    "pipeline_parallel_size",
    "gpu_memory_utilization",
    "max_num_seqs",
    "max_num_batched_tokens",
    "enforce_eager",
    "engines_per_gpu",
    "enable_prefix_caching",
    "swap_space",
    "cpu_offload_gb",
    "kv_cache_memory_bytes",
    "block_size",
    "compilation_config",
    "moe_backend",
    "cuda_graph_sizes",
    "disable_log_stats",
    "enable_chunked_prefill",
    "async_scheduling",
    "num_gpu_blocks_override",
    "disable_custom_all_reduce",
    "distributed_executor_backend",
    "max_parallel_loading_workers",
    "download_dir",
    "max_model_len",
    "concurrency",
    "timeout",
    "max_attempts",
    "backoff",
    "connect_timeout",
    "check_served_model",
    "api_key_env",
    "evaluation_type",
}


def digest(value: Any) -> str:
    """SHA-256 of a JSON value in canonical form, as 32 hex digits (128 bits)."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def output_args(engine_args: Mapping[str, Any]) -> dict[str, Any]:
    """The engine arguments that change answers (dtype, quantisation, load format, …)."""
    return {key: value for key, value in engine_args.items() if key not in _SPEED_ONLY}


def sampling_identity(sampling: Mapping[str, Any]) -> dict[str, Any]:
    """Sampling without `max_tokens` and neutral fields.

    A journalled answer that stopped by itself within the new limit stands, so the limit is no part
    of its identity (see `Journal`).
    """
    kept = {
        # 0 and 0.0 are one temperature, but two texts.
        key: float(value) if key in _FRACTIONS else value
        for key, value in sampling.items()
        if key != "max_tokens" and value is not None and value != _NEUTRAL.get(key, object())
    }
    if kept.get("top_k") == -1:  # vLLM's other spelling of "all"
        del kept["top_k"]
    if sampling.get("temperature", 0.0) == 0:  # greedy: what narrows the distribution cannot matter
        for key in ("top_p", "top_k", "min_p", "seed"):
            kept.pop(key, None)
    return kept


def row_key(
    settings: str,
    *,
    messages: Sequence[Message] | None,
    prompt: str | None,
    sampling: Mapping[str, Any],
    draw: int,
    sample_id: str,
) -> str:
    """Key of one answer.

    Args:
        settings: digest of the model's settings (`settings_digest`).
        messages: the chat, or None for a completion.
        prompt: the completion's prompt, or None for a chat.
        sampling: all sampling parameters.
        draw: number of the answer among those of its sample and condition, from 0.
        sample_id: enters only at temperature > 0, where equal prompts have answers of their own.
    """
    greedy = sampling.get("temperature", 0.0) == 0
    return digest(
        [
            settings,
            list(messages) if messages is not None else None,
            prompt,
            sampling_identity(sampling),
            draw,
            None if greedy else sample_id,
        ]
    )
