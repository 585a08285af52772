"""Turning tokens into text once, when an answer is finished, instead of token by token.

vLLM makes text of every token as it comes, on the core that also talks to the engine; for small
models that core sets the pace. Where nothing needs the text before the end (no stop strings), a
whole answer is decoded at once, for a tenth of the time. The text is the same: what follows the
prompt's last tokens, and no more than what is complete. Where that is not certain (half a
character, a tokenizer that rewrites what stands before), vLLM's own way decides.
"""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

_CONTEXT = 6
"""Prompt tokens in front of an answer while it is decoded: a word's first token depends on them."""
_NEEDS_TEXT = ("stop", "logprobs", "prompt_logprobs", "bad_words", "structured_outputs")
_REPLACEMENT = "\ufffd"


def can_wait(tokenizer: Any, sampling: Mapping[str, Any]) -> bool:
    """Whether an answer's text can be made at its end: by a fast tokenizer, and nobody looks sooner."""
    return (
        hasattr(tokenizer, "_tokenizer")
        and not any(sampling.get(name) for name in _NEEDS_TEXT)
        and sampling.get("detokenize", True)
        and sampling.get("spaces_between_special_tokens", True)
    )


def text_of(
    tokenizer: Any,
    prompt: Sequence[int],
    tokens: Sequence[int],
    params: Any,
    *,
    stopped: bool,
) -> str:
    """The text of an answer, as vLLM would have made it token by token.

    Args:
        tokenizer: a fast tokenizer of transformers.
        prompt: the prompt's tokens.
        tokens: the answer's.
        params: its SamplingParams.
        stopped: whether the last token is the one that ended it, which is no part of the text.
    """
    if stopped and not params.include_stop_str_in_output:
        tokens = tokens[:-1]
    fast, skip = tokenizer._tokenizer, params.skip_special_tokens
    context = list(prompt[-_CONTEXT:])
    before: str = fast.decode(context, skip_special_tokens=skip)
    whole: str = fast.decode([*context, *tokens], skip_special_tokens=skip)
    if whole.startswith(before) and _REPLACEMENT not in whole:
        return whole[len(before) :]
    return _token_by_token(tokenizer, prompt, tokens, params)


def _token_by_token(
    tokenizer: Any, prompt: Sequence[int], tokens: Sequence[int], params: Any
) -> str:
    from vllm.v1.engine.detokenizer import IncrementalDetokenizer

    request: Any = SimpleNamespace(
        request_id="", prompt_token_ids=list(prompt), prompt_embeds=None, sampling_params=params
    )
    detokenizer = IncrementalDetokenizer.from_new_request(tokenizer, request)
    detokenizer.update(list(tokens), stop_terminated=False)
    return str(detokenizer.get_next_output_text(finished=True, delta=False))
