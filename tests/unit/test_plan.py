"""The plan: what fits where, how wide, in what order, and that it stays so."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalpack.errors import UserError
from evalpack.lineup import load_models
from evalpack.models import Model
from evalpack.plan import Plan, make_plan

MODELS_YAML = Path(__file__).resolve().parents[2] / "config" / "models.yaml"
MODELS = {
    name: Model.from_mapping({**entry, "name": name})
    for name, entry in load_models(MODELS_YAML).items()
}
SMALL = [
    "llama3.1:8b",
    "mistral:7b",
    "qwen2.5:7b",
    "llama3.2:1b",
    "llama3.2:3b",
    "llama3:8b",
]
LINEUP = [MODELS[n] for n in (*SMALL, "qwen2.5-32b", "llama3.3-70b", "qwen2.5-72b", "gpt-oss-120b")]


def plan(models: list[Model], **changes: Any) -> Plan:
    arguments: dict[str, Any] = {
        "gpus": 4,
        "gpu_type": "A100-80GB",
        "planning": {},
        "requests": 5000,
        "output_tokens": 512,
    }
    return make_plan(models, **(arguments | changes))


def gpus(models: list[Model], **changes: Any) -> dict[str, int]:
    return {model.name: model.gpus for model in plan(models, **changes).models}


def refusal(models: list[Model], **changes: Any) -> str:
    with pytest.raises(UserError) as caught:
        plan(models, **changes)
    return str(caught.value)


def test_the_ten_models_on_four_a100() -> None:
    assert gpus(LINEUP) == {
        **dict.fromkeys(SMALL, 1),
        "gpt-oss-120b": 1,  # 65 GB in MXFP4
        "qwen2.5-32b": 2,  # on one GPU the KV cache holds 62 of a full batch of 96
        "llama3.3-70b": 4,  # on two GPUs 3 GB each are left
        "qwen2.5-72b": 4,
    }


def test_a_model_that_only_just_fits_runs_when_there_are_no_more_gpus() -> None:
    assert gpus([MODELS["qwen2.5-32b"]], gpus=1) == {"qwen2.5-32b": 1}
    assert gpus([MODELS["llama3.3-70b"]], gpus=2) == {"llama3.3-70b": 2}


def test_more_memory_needs_fewer_gpus() -> None:
    names = ["qwen2.5-32b", "llama3.3-70b", "gpt-oss-120b"]
    assert gpus([MODELS[n] for n in names], gpu_type="H200-141GB") == dict(
        zip(names, [1, 2, 1], strict=True)
    )


def test_every_model_that_ships_fits_on_four_a100() -> None:
    assert all(model.gpus in (1, 2, 4) for model in plan(list(MODELS.values())).models)


def test_three_gpus_are_used_as_two() -> None:
    assert gpus([MODELS["qwen2.5-32b"]], gpus=3) == {"qwen2.5-32b": 2}


def test_tensor_parallel_size_divides_the_heads() -> None:
    # 14 heads go over 1 or 2 GPUs only, however many there are.
    heavy = replace(MODELS["qwen2.5:0.5b"], weight_bytes=140_000_000_000)
    assert gpus([heavy], gpus=8) == {"qwen2.5:0.5b": 2}


def test_kv_heads_are_repeated_where_there_are_fewer_than_gpus() -> None:
    # One KV head: splitting it over GPUs frees no KV cache, but the weights are split.
    single = replace(MODELS["gemma3:1b"], weight_bytes=140_000_000_000, kv_heads=1)
    assert gpus([single]) == {"gemma3:1b": 2}


def test_a_model_too_large_says_what_would_fit() -> None:
    message = refusal([*LINEUP[:2], MODELS["qwen2.5-72b"]], gpus=1)
    assert message.startswith("models.qwen2.5-72b does not fit on 1 A100-80GB: 145.4 GB of weights")
    assert "a quantised checkpoint of at most 66" in message
    assert "4 such GPUs (hardware.gpus)" in message


def test_a_kv_cache_too_small_for_one_request_names_the_length_that_goes() -> None:
    model = MODELS["qwen2.5-72b"]
    assert "planning.max_model_len to 7424 or less" in refusal([model], gpus=2)
    assert gpus([model], gpus=2, planning={"max_model_len": 7424}) == {"qwen2.5-72b": 2}


def test_a_chosen_tensor_parallel_size_stands() -> None:
    assert gpus([replace(MODELS["llama3.1:8b"], tensor_parallel_size=4)]) == {"llama3.1:8b": 4}


@pytest.mark.parametrize(
    ("name", "tp", "says"),
    [
        ("llama3.1:8b", 8, "models.llama3.1:8b: tensor_parallel_size 8 is more than the 4 GPUs"),
        ("phi-4", 4, "does not go with 40 attention heads and 10 KV heads; use one of 1, 2"),
        ("llama3.3-70b", 1, "models.llama3.3-70b does not fit on 1 A100-80GB"),
    ],
)
def test_a_chosen_tensor_parallel_size_that_cannot_be_is_refused(
    name: str, tp: int, says: str
) -> None:
    assert says in refusal([replace(MODELS[name], tensor_parallel_size=tp)])


def test_a_model_of_unknown_shape_asks_for_it_or_for_a_tensor_parallel_size() -> None:
    unknown = Model(name="new", hub="a/b", weight_bytes=16_000_000_000)
    assert "new: layers, attention_heads, kv_heads, head_size must be given" in refusal([unknown])
    assert gpus([replace(unknown, tensor_parallel_size=2)]) == {"new": 2}


def test_priorities_are_widest_first_then_longest() -> None:
    models = plan(list(MODELS.values())).models
    assert [m.priority for m in models] == list(range(len(models), 0, -1))
    places = [(m.gpus, m.estimated_seconds) for m in models]
    assert places == sorted(places, reverse=True)


def test_the_seventies_start_before_the_rest_and_the_smallest_last() -> None:
    names = [model.name for model in plan(LINEUP).models]
    assert names[:3] == ["qwen2.5-72b", "llama3.3-70b", "qwen2.5-32b"]
    assert names[-1] == "llama3.2:1b"


def test_one_shard_a_model_unless_the_model_or_planning_says_otherwise() -> None:
    models = [MODELS["llama3.1:8b"], replace(MODELS["mistral:7b"], shards=3)]
    assert {m.name: m.shards for m in plan(models).models} == {"llama3.1:8b": 1, "mistral:7b": 3}
    sharded = plan(models, planning={"shards": 2}).models
    assert {m.name: m.shards for m in sharded} == {"llama3.1:8b": 2, "mistral:7b": 3}


def test_a_shard_takes_its_share_of_the_time_and_the_whole_of_the_start() -> None:
    whole, half = (
        plan([MODELS["llama3.1:8b"]], planning={"shards": n}).models[0].estimated_seconds
        for n in (1, 2)
    )
    assert whole / 2 < half < whole


def test_requests_are_8192_tokens_at_most_unless_configured() -> None:
    names = ["llama3.1:8b", "olmo2:7b", "deepseek-r1:7b"]
    lengths = {m.name: m.max_model_len for m in plan([MODELS[n] for n in names]).models}
    assert lengths == {"llama3.1:8b": 8192, "olmo2:7b": 4096, "deepseek-r1:7b": 8192}
    assert plan([MODELS["qwen3:8b"]], output_tokens=16384).models[0].max_model_len == 20480
    set_ = plan([MODELS["qwen3:8b"]], planning={"max_model_len": 1024}).models[0]
    assert set_.max_model_len == 1024
    own = replace(MODELS["qwen3:8b"], engine={"max_model_len": 2048})
    assert plan([own], planning={"max_model_len": 1024}).models[0].max_model_len == 2048


def test_the_plan_chooses_eager_and_the_memory_share_it_counted_with() -> None:
    args = plan([MODELS["llama3.1:8b"]]).models[0].engine_args
    assert args == {"enforce_eager": True, "gpu_memory_utilization": 0.9}
    half = replace(MODELS["qwen2.5-32b"], engine={"gpu_memory_utilization": 0.4})
    assert plan([half]).models[0].engine_args["gpu_memory_utilization"] == 0.4
    assert plan([half]).models[0].gpus == 4  # half the memory, twice the GPUs


@pytest.mark.parametrize("gpus_", [0, 1])
def test_without_a_gpu_type_the_cpu_is_one_slot(gpus_: int) -> None:
    demo = [MODELS["smollm2:135m"], MODELS["smollm2:135m-warm"]]
    planned = plan(demo, gpus=gpus_, gpu_type=None)
    assert (planned.hardware.gpu_type, planned.hardware.gpus) == (None, 1)
    assert [m.name for m in planned.models] == ["smollm2:135m", "smollm2:135m-warm"]
    assert all(m.gpus == 1 and m.engine_args == {"enforce_eager": True} for m in planned.models)


def test_the_cpu_refuses_a_tensor_parallel_size() -> None:
    wide = replace(MODELS["smollm2:360m"], tensor_parallel_size=2)
    assert "models.smollm2:360m: tensor_parallel_size 2 needs GPUs" in refusal(
        [wide], gpus=0, gpu_type=None
    )


def test_a_server_elsewhere_takes_no_gpu() -> None:
    server = Model(name="gpt", backend="openai", base_url="http://localhost/v1")
    planned = plan([server, MODELS["llama3.2:1b"]]).models
    assert [(m.name, m.gpus, m.engine_args) for m in planned[1:]] == [("gpt", 0, {})]


def test_several_gpus_of_no_type_are_refused() -> None:
    assert "hardware.gpu_type must say what the 4 GPUs" in refusal(LINEUP, gpu_type=None)


def test_a_plan_survives_json() -> None:
    planned = plan(LINEUP)
    assert Plan.from_json(json.loads(json.dumps(planned.to_json()))) == planned


def test_a_plan_of_another_version_is_refused() -> None:
    with pytest.raises(UserError, match=r"plan\.json has schema_version 99"):
        Plan.from_json({"schema_version": 99})


def test_fifty_models_are_planned_in_no_time() -> None:
    models = list(MODELS.values())
    plan(models)
    start = time.perf_counter()
    plan(models)
    assert time.perf_counter() - start < 0.05  # under 1 ms on an idle machine


lineups = st.lists(st.sampled_from(sorted(MODELS)), unique=True, min_size=1, max_size=12)
pools = st.sampled_from([(4, "A100-80GB"), (8, "A100-40GB"), (4, "H100-80GB"), (0, None)])


@given(lineups, st.sampled_from(sorted(MODELS)), pools)
def test_another_model_changes_neither_gpus_nor_shards_of_the_others(
    names: list[str], added: str, pool: tuple[int, str | None]
) -> None:
    arguments: dict[str, Any] = {"gpus": pool[0], "gpu_type": pool[1]}
    before = plan([MODELS[n] for n in names], **arguments)
    after = plan([MODELS[n] for n in dict.fromkeys([*names, added])], **arguments)
    for model in before.models:
        again = after.model(model.slug)
        assert replace(again, priority=model.priority) == model


@given(lineups, st.randoms())
def test_a_plan_depends_on_nothing_but_its_arguments(names: list[str], random: Any) -> None:
    first = plan([MODELS[n] for n in names])
    assert plan([MODELS[n] for n in names]) == first
    random.shuffle(names)
    shuffled = plan([MODELS[n] for n in names])
    assert {m.name: (m.gpus, m.shards) for m in shuffled.models} == {
        m.name: (m.gpus, m.shards) for m in first.models
    }


@given(lineups, pools)
def test_no_job_is_wider_than_the_pool(names: list[str], pool: tuple[int, str | None]) -> None:
    planned = plan([MODELS[n] for n in names], gpus=pool[0], gpu_type=pool[1])
    assert all(0 < model.gpus <= planned.hardware.gpus for model in planned.models)
