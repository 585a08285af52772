"""Which tensor parallel sizes a model can be run with, and what is said where there is none."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lineups import MODELS, plan, work

from evalpack.errors import UserError
from evalpack.models import Model
from evalpack.plan.fit import able_sizes, full_batch_tokens, kv_tokens
from evalpack.plan.hardware import GPUS, Device

MUCH = 200_000_000_000


def sizes(model: Model, gpus: int = 4, gpu_type: str = "A100-80GB", **asked: Any) -> list[int]:
    return able_sizes(model, GPUS[gpu_type], gpus, work(**asked))


def refusal(model: Model, gpus: int = 4, gpu_type: str = "A100-80GB", **more: Any) -> str:
    with pytest.raises(UserError) as caught:
        plan([model], gpus, gpu_type, **more)
    message = str(caught.value)
    assert "\n" not in message
    assert model.name in message
    return message


def test_sizes_go_from_the_smallest_that_runs_to_the_smallest_that_holds_a_full_batch() -> None:
    assert sizes(MODELS["llama3.1:8b"], 8) == [1]
    assert sizes(MODELS["gpt-oss-120b"], 8, requests=400) == [1]  # 65 GB in MXFP4
    assert sizes(MODELS["qwen2.5-32b"], 8, requests=100) == [1]
    assert sizes(MODELS["qwen2.5-32b"], 8, requests=100, output=1024) == [1, 2]


def test_where_more_requests_could_run_at_once_twice_as_many_are_a_choice_too() -> None:
    assert sizes(MODELS["gpt-oss-120b"], 8) == [1, 2]
    assert sizes(MODELS["qwen2.5-32b"], 8) == [1, 2]
    assert sizes(MODELS["llama3.1:8b"], 8, output=1024) == [1, 2]


def test_where_one_gpu_will_not_do_twice_as_many_are_a_choice_too() -> None:
    # 141 GB never go on one; on two, the KV cache holds a full batch of short answers.
    assert sizes(MODELS["llama3.3-70b"], 8) == [2, 4]
    assert sizes(MODELS["llama3.3-70b"], 8, output=1024) == [2, 4, 8]


def test_too_few_requests_for_a_batch_may_be_answered_sooner_by_more_gpus() -> None:
    assert sizes(MODELS["llama3.1:8b"], 8, requests=13) == [1, 2]


def test_a_model_that_only_just_fits_runs_when_there_are_no_more_gpus() -> None:
    assert sizes(MODELS["qwen2.5-32b"], gpus=1, output=1024) == [1]
    assert sizes(MODELS["llama3.3-70b"], gpus=2, output=1024) == [2]


def test_more_memory_needs_fewer_gpus() -> None:
    for name in ("qwen2.5-32b", "gpt-oss-120b"):
        assert min(sizes(MODELS[name], gpu_type="H200-141GB", output=1024)) == 1
    assert min(sizes(MODELS["llama3.3-70b"], gpu_type="H200-141GB", output=1024)) == 2
    assert min(sizes(MODELS["llama3.1:8b"], gpu_type="A100-40GB")) == 1
    assert min(sizes(MODELS["qwen2.5-32b"], gpu_type="A100-40GB")) == 2


def test_three_gpus_are_used_as_two() -> None:
    assert sizes(MODELS["qwen2.5-32b"], gpus=3, output=1024) == [1, 2]


def test_tensor_parallel_size_divides_the_heads() -> None:
    # 14 heads go over 1 or 2 GPUs only, however many there are.
    heavy = replace(MODELS["qwen2.5:0.5b"], weight_bytes=140_000_000_000)
    assert sizes(heavy, gpus=8) == [2]
    message = refusal(replace(heavy, weight_bytes=MUCH), gpus=8)
    assert "does not fit on 2 A100-80GB" in message
    assert "such GPUs" not in message  # more of them would not help


def test_kv_heads_are_repeated_where_there_are_fewer_than_gpus() -> None:
    # One KV head: splitting it over GPUs frees no KV cache, but the weights are split.
    single = replace(MODELS["gemma3:1b"], weight_bytes=140_000_000_000, kv_heads=1)
    assert sizes(single, gpus=3) == [2]


@given(st.sampled_from(sorted(MODELS)), st.sampled_from(sorted(GPUS)), st.integers(1, 16))
def test_every_size_holds_the_longest_request_and_only_the_last_two_a_full_batch(
    name: str, gpu_type: str, gpus: int
) -> None:
    model, gpu, asked = MODELS[name], GPUS[gpu_type], work(output=512)
    try:
        found = able_sizes(model, gpu, gpus, asked)
    except UserError:
        return
    assert found == sorted(found)
    assert all(tp <= gpus and tp & (tp - 1) == 0 for tp in found)
    room = [kv_tokens(model, gpu, tp) for tp in found]
    assert all(tokens >= asked.longest for tokens in room)
    assert all(tokens < full_batch_tokens(asked) for tokens in room[:-2])


def test_a_model_larger_than_all_gpus_together_says_what_would_fit() -> None:
    message = refusal(MODELS["qwen2.5-72b"], gpus=1)
    assert message.startswith("models.qwen2.5-72b does not fit on 1 A100-80GB: 145.4 GB of weights")
    assert "a quantised checkpoint of at most 66" in message
    assert "give it 2 such GPUs (hardware.gpus)" in message
    assert message.endswith("or take it out of models")


def test_what_is_said_would_fit_does() -> None:
    model = MODELS["qwen2.5-72b"]
    assert sizes(model, gpus=2) == [2]
    assert sizes(replace(model, weight_bytes=66_400_000_000), gpus=1) == [1]


def test_a_model_that_no_number_of_gpus_holds_is_not_offered_more() -> None:
    message = refusal(replace(MODELS["llama3.3-70b"], weight_bytes=20_000_000_000_000))
    assert "such GPUs" not in message
    assert "a quantised checkpoint of at most" in message


def test_a_kv_cache_too_small_for_one_request_names_the_length_that_goes() -> None:
    model, long = MODELS["qwen2.5-72b"], work(longest=8192)
    message = refusal(model, gpus=2, asked=long)
    assert "a KV cache of 6307 tokens, not the 8192 of the longest request" in message
    assert "planning.max_model_len to 6144 or less" in message
    assert plan([model], 2, asked=long, max_model_len=6144).models[0].gpus == 2


def test_requests_shorter_than_max_model_len_need_no_more_than_they_are() -> None:
    assert plan([MODELS["qwen2.5-72b"]], 2, asked=work(longest=1500)).models[0].gpus == 2


def test_a_chosen_tensor_parallel_size_stands() -> None:
    assert sizes(replace(MODELS["llama3.1:8b"], tensor_parallel_size=4)) == [4]


@pytest.mark.parametrize(
    ("name", "tp", "says"),
    [
        ("llama3.1:8b", 8, "models.llama3.1:8b: tensor_parallel_size 8 is more than the 4 GPUs"),
        ("phi-4", 4, "does not go with 40 attention heads and 10 KV heads; use one of 1, 2"),
        ("phi-4", 3, "does not go with 40 attention heads and 10 KV heads; use one of 1, 2"),
        ("llama3.3-70b", 1, "models.llama3.3-70b does not fit on 1 A100-80GB"),
        ("llama3.3-70b", 1, "raise its tensor_parallel_size to 2"),  # there are GPUs enough
    ],
)
def test_a_chosen_tensor_parallel_size_that_cannot_be_is_refused(
    name: str, tp: int, says: str
) -> None:
    assert says in refusal(replace(MODELS[name], tensor_parallel_size=tp))


def test_less_memory_for_the_engine_needs_more_gpus_until_it_is_too_little() -> None:
    half = replace(MODELS["qwen2.5-32b"], engine={"gpu_memory_utilization": 0.45})
    assert min(sizes(half)) == 2
    none = replace(half, engine={"gpu_memory_utilization": 0.05})
    assert "raise its gpu_memory_utilization to 0.9" in refusal(none)


def test_a_model_of_unknown_shape_asks_for_it_or_for_a_tensor_parallel_size() -> None:
    unknown = Model(name="new", hub="a/b", weight_bytes=16_000_000_000)
    message = refusal(unknown)
    assert "new: layers, attention_heads, kv_heads, head_size must be given" in message
    assert "evalpack add" in message
    assert plan([replace(unknown, tensor_parallel_size=2)]).models[0].gpus == 2


def test_more_shards_than_answers_are_refused() -> None:
    model, few = MODELS["phi-4"], work(3)
    message = refusal(model, asked=few, planning={"shards": 4})
    assert message.startswith("planning.shards: 4 shards are more than the 3 answers")
    message = refusal(replace(model, shards=5), asked=few, planning={"shards": 4})
    assert message.startswith("models.phi-4: shards: 5 shards are more than the 3 answers")
    assert plan([model], asked=few, planning={"shards": 3}).models[0].shards == 3


def test_shards_are_not_checked_against_samples_that_were_not_counted() -> None:
    guessed = work(3, rows=0)
    assert plan([MODELS["phi-4"]], asked=guessed, planning={"shards": 4}).models[0].shards == 4


@given(st.sampled_from(sorted(MODELS)), st.integers(1, 8), st.floats(0.2, 2))
def test_a_refusal_is_one_sentence_that_names_the_model(
    name: str, gpus: int, memory: float
) -> None:
    device: Device = replace(GPUS["A100-80GB"], memory=int(memory * 2e10))
    try:
        able_sizes(MODELS[name], device, gpus, work())
    except UserError as error:
        assert str(error).startswith(f"models.{name} does not fit on ")
        assert "\n" not in str(error)


def test_every_model_that_ships_fits_on_four_a100() -> None:
    assert all(model.gpus in (1, 2, 4) for model in plan(list(MODELS.values())).models)
