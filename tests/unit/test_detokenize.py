"""An answer's text, made at its end, is the one that vLLM makes token by token."""

import random
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from evalpack.engines import detokenize
from evalpack.engines.detokenize import can_wait, text_of

SMOLLM2 = Path(__file__).parents[2] / "models" / "smollm2-135m-instruct"


def byte_level() -> Any:
    """SmolLM2's: bytes are tokens, so that characters can be cut."""
    return AutoTokenizer.from_pretrained(SMOLLM2)


def metaspace() -> Any:
    """As Llama 2's and Mistral's: a leading space vanishes at the start of a text, and only there."""
    words = ["<unk>", "<s>", "</s>", "▁", *(f"<0x{i:02X}>" for i in range(256))]
    words += ["▁is", "▁it", "fair", "▁fair", "er", ".", "▁10", "é", "▁日"]
    special = dict(zip(("unk_token", "bos_token", "eos_token"), words, strict=False))
    vocabulary = {word: i for i, word in enumerate(words)}
    model = models.BPE(vocabulary, [], unk_token=words[0], byte_fallback=True)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def params(**given: Any) -> Any:
    from vllm import SamplingParams

    return SamplingParams(max_tokens=64, **given)


def token_by_token(tokenizer: Any, prompt: list[int], tokens: list[int], given: Any) -> str:
    """What vLLM makes, fed as its engine feeds it."""
    from vllm.sampling_params import SamplingParams
    from vllm.v1.engine import EngineCoreRequest
    from vllm.v1.engine.detokenizer import IncrementalDetokenizer

    assert isinstance(given, SamplingParams)
    names = EngineCoreRequest.__struct_fields__
    fields: dict[str, Any] = dict.fromkeys(names)
    fields |= {"request_id": "a", "prompt_token_ids": prompt, "sampling_params": given}
    detokenizer = IncrementalDetokenizer.from_new_request(tokenizer, EngineCoreRequest(**fields))
    for token in tokens:
        detokenizer.update([token], stop_terminated=False)
    return str(detokenizer.get_next_output_text(finished=True, delta=False))


@pytest.mark.parametrize("make", [byte_level, metaspace])
@pytest.mark.parametrize("skip", [True, False])
def test_random_tokens(make: Any, skip: bool) -> None:
    tokenizer, draw = make(), random.Random(7)
    given = params(skip_special_tokens=skip)
    size = len(tokenizer)
    cut = 0
    for _ in range(400):
        prompt = [draw.randrange(size) for _ in range(draw.randint(1, 12))]
        tokens = [draw.randrange(size) for _ in range(draw.randint(0, 24))]
        ours = text_of(tokenizer, prompt, tokens, given, stopped=False)
        assert ours == token_by_token(tokenizer, prompt, tokens, given)
        cut += "\ufffd" in tokenizer.decode([*prompt, *tokens])
    assert cut > 20, "half characters were not among them"


@pytest.mark.parametrize("make", [byte_level, metaspace])
def test_real_text_is_decoded_at_once(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = make()
    monkeypatch.setattr(
        detokenize, "_token_by_token", lambda *_: pytest.fail("the slow way was taken")
    )
    prompt = tokenizer.encode("is it fair")
    tokens = tokenizer.encode(" it is fairer. 10", add_special_tokens=False)
    assert text_of(tokenizer, prompt, tokens, params(), stopped=False).strip() == "it is fairer. 10"


def test_the_token_that_ended_it_is_no_text_unless_asked_for() -> None:
    tokenizer = byte_level()
    prompt, tokens = tokenizer.encode("Why?"), tokenizer.encode("Because. End")
    whole = text_of(tokenizer, prompt, tokens, params(), stopped=False)
    assert text_of(tokenizer, prompt, tokens, params(), stopped=True) == whole.removesuffix(" End")
    kept = params(include_stop_str_in_output=True)
    assert text_of(tokenizer, prompt, tokens, kept, stopped=True) == whole


@pytest.mark.parametrize(
    "sampling",
    [
        {"stop": ["\n"]},
        {"logprobs": 5},
        {"bad_words": ["never"]},
        {"detokenize": False},
        {"spaces_between_special_tokens": False},
    ],
)
def test_who_needs_the_text_sooner_has_it(sampling: dict[str, Any]) -> None:
    tokenizer = byte_level()
    assert can_wait(tokenizer, {"temperature": 0.0, "stop_token_ids": [2]})
    assert not can_wait(tokenizer, sampling)
    assert not can_wait(object(), {})
