"""Keys: what decides an answer changes them, what does not leaves them alone."""

import pytest

from evalpack.keys import output_args, row_key, sampling_identity
from evalpack.shards import shard_of

GREEDY = {"temperature": 0.0, "max_tokens": 512}
WARM = {"temperature": 0.7, "max_tokens": 512}


def key(**changes):
    asked = {
        "messages": [{"role": "user", "content": "Is it justifiable?"}],
        "prompt": None,
        "sampling": GREEDY,
        "draw": 0,
        "sample_id": "a",
    }
    return row_key("settings", **{**asked, **changes})


def test_equal_prompts_at_temperature_0_share_a_key():
    assert key(sample_id="a") == key(sample_id="b")


def test_at_higher_temperature_each_sample_has_a_key_of_its_own():
    assert key(sampling=WARM, sample_id="a") != key(sampling=WARM, sample_id="b")


@pytest.mark.parametrize(
    "change",
    [
        {"draw": 1},
        {"messages": [{"role": "user", "content": "Is it ever justifiable?"}]},
        {"messages": [{"role": "system", "content": "Is it justifiable?"}]},
        {"messages": None, "prompt": "Is it justifiable?"},
        {"sampling": {**GREEDY, "temperature": 0.1}},
        {"sampling": {**GREEDY, "repetition_penalty": 1.1}},
        {"sampling": {**GREEDY, "stop": ["\n"]}},
    ],
)
def test_what_decides_the_answer_changes_the_key(change):
    assert key(**change) != key()


@pytest.mark.parametrize(
    "change",
    [
        {"sampling": {**GREEDY, "max_tokens": 1024}},
        {"sampling": {**GREEDY, "top_p": 1.0, "top_k": -1, "presence_penalty": 0.0}},
        {"sampling": {**GREEDY, "seed": 7}},
        {"sampling": {"max_tokens": 512, "temperature": 0}},
    ],
)
def test_limits_and_spelled_out_defaults_do_not(change):
    assert key(**change) == key()


def test_a_seed_counts_where_there_is_chance():
    assert sampling_identity({**WARM, "seed": 7}) != sampling_identity(WARM)


def test_engine_arguments_for_speed_are_no_part_of_the_settings():
    speed = {"max_num_seqs": 64, "gpu_memory_utilization": 0.8, "enforce_eager": True}
    assert output_args({**speed, "quantization": "fp8"}) == {"quantization": "fp8"}


def test_every_key_is_in_exactly_one_shard():
    keys = [key(draw=draw) for draw in range(500)]
    for shards in (1, 3, 7):
        assert {shard_of(k, shards) for k in keys} == set(range(1, shards + 1))
