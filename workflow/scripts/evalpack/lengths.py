"""How long a request an engine is started for: as long as the prompts really are.

vLLM wants KV cache for one request of `max_model_len` tokens, so a shorter one lets larger models
fit. What may be asked is configured (`ModelJob.max_model_len`); what is needed of it is known from
the prompts, since a token is at least a byte of text.
"""

from pathlib import Path

from evalpack.asks import Ask
from evalpack.atomic import read_json
from evalpack.engines.base import Answer
from evalpack.jobs import ModelJob
from evalpack.plan.workload import TEMPLATE_TOKENS

_STEP = 256


def longest_request(ask: Ask) -> int:
    """Tokens that a request and its answer cannot exceed, but for what the chat template adds."""
    texts = [ask.prompt or "", *(message["content"] for message in ask.messages or ())]
    return sum(len(text.encode("utf-8", "replace")) for text in texts) + int(
        ask.sampling["max_tokens"]
    )


def engine_lengths(job: ModelJob, longest: int, weights: str | None = None) -> list[int | None]:
    """`max_model_len` of the engine to start, and of a second one, should a request outgrow it.

    Args:
        job: the model's job; its `max_model_len` is the most (None: what the checkpoint says).
        longest: the largest `longest_request` of all that it is asked.
        weights: folder of the checkpoint.
    """
    if job.gpus == 0:
        return [job.max_model_len]
    most = job.max_model_len or _context(weights)
    if most is None:
        return [None]
    needed = longest + TEMPLATE_TOKENS + len(job.model.chat_template or "")
    length = -(-needed // _STEP) * _STEP
    return [length, most] if length < most else [most]


def _context(weights: str | None) -> int | None:
    """Longest context of a checkpoint, as its config.json says."""
    config = read_json(Path(weights) / "config.json", default={}) if weights else {}
    found = config.get("max_position_embeddings") or config.get("text_config", {}).get(
        "max_position_embeddings"
    )
    return found if isinstance(found, int) else None


def outgrown(answer: Answer, length: int | None, most: int | None, max_tokens: int) -> bool:
    """Whether only the engine's length, which is less than the most, kept an answer short.

    That takes a chat template that adds more than anybody expects; a longer engine is started then.
    """
    if length is None or length == most:
        return False
    if answer.error is not None:
        return answer.error.type == "PromptTooLong"
    made = answer.completion_tokens or 0
    return (
        answer.finish_reason == "length"
        and made < max_tokens
        and (answer.prompt_tokens or 0) + made >= length - 1
    )
