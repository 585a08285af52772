"""config/models.yaml: every entry is valid, plannable, and says what the checkpoint says."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from evalpack import config, schema
from evalpack.errors import UserError
from evalpack.lineup import load_models
from evalpack.models import FixedDate, Model

ROOT = Path(__file__).resolve().parents[2]
MODELS_YAML = ROOT / "config" / "models.yaml"
ENTRIES = load_models(MODELS_YAML)

LINEUP = [
    "llama3.1:8b",
    "mistral:7b",
    "qwen2.5:7b",
    "llama3.2:1b",
    "llama3.2:3b",
    "llama3:8b",
    "qwen2.5-32b",
    "llama3.3-70b",
    "qwen2.5-72b",
    "gpt-oss-120b",
]

# Parameters in billions, as the hub shows them beside each model.
PARAMETERS = {
    "smollm2:135m": 0.135,
    "llama3:8b": 8.03,
    "llama3.1:8b": 8.03,
    "llama3.1-70b": 70.6,
    "llama3.2:1b": 1.24,
    "llama3.2:3b": 3.21,
    "llama3.3-70b": 70.6,
    "mistral:7b": 7.25,
    "mistral-nemo:12b": 12.2,
    "mistral-small:24b": 23.6,
    "mixtral:8x7b": 46.7,
    "qwen2.5:0.5b": 0.494,
    "qwen2.5:1.5b": 1.54,
    "qwen2.5:3b": 3.09,
    "qwen2.5:7b": 7.62,
    "qwen2.5:14b": 14.8,
    "qwen2.5-32b": 32.8,
    "qwen2.5-72b": 72.7,
    "qwen3:0.6b": 0.752,
    "qwen3:1.7b": 2.03,
    "qwen3:4b": 4.02,
    "qwen3:8b": 8.19,
    "qwen3:14b": 14.8,
    "qwen3:32b": 32.8,
    "qwen3:30b-a3b": 30.5,
    "gemma2:2b": 2.61,
    "gemma2:9b": 9.24,
    "gemma2:27b": 27.2,
    "gemma3:1b": 1.0,
    "gemma3:4b": 4.3,
    "gemma3:12b": 12.2,
    "gemma3:27b": 27.4,
    "deepseek-r1:7b": 7.62,
    "deepseek-r1:8b": 8.03,
    "deepseek-r1:32b": 32.8,
    "deepseek-r1:70b": 70.6,
    "phi-4": 14.7,
    "smollm2:360m": 0.362,
    "smollm2:1.7b": 1.71,
    "olmo2:7b": 7.3,
    "olmo2:13b": 13.7,
    "falcon3:7b": 7.46,
    "yi-1.5:9b": 8.83,
    "aya-expanse:8b": 8.03,
    "aya-expanse:32b": 32.3,
    "command-r7b": 8.03,
}


def model(name: str) -> Model:
    entry = yaml.safe_load(yaml.safe_dump(ENTRIES[name]))
    schema.check(entry, "model", f"{MODELS_YAML.name}: {name}")
    return Model.from_mapping({**entry, "name": name})


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_is_valid_and_says_all_that_planning_needs(name: str) -> None:
    entry = model(name)
    assert entry.weight_bytes and entry.active_parameters and entry.context_length
    assert entry.attention_heads and entry.kv_heads and entry.hidden_size
    assert entry.attention_heads % entry.kv_heads == 0
    assert entry.kv_bytes_per_token > 0
    assert entry.revision is None or len(entry.revision) == 40


def test_the_lineup_and_the_demo_are_there() -> None:
    assert {*LINEUP, "smollm2:135m", "smollm2:135m-warm"} <= ENTRIES.keys()


def test_no_two_entries_share_a_file_name() -> None:
    slugs = [Model(name=name).slug.lower() for name in ENTRIES]
    assert len(slugs) == len(set(slugs))


@pytest.mark.parametrize("name", PARAMETERS)
def test_weight_bytes_are_those_of_the_published_parameters_in_bfloat16(name: str) -> None:
    entry = model(name)
    assert entry.weight_bytes == pytest.approx(2 * PARAMETERS[name] * 1e9, rel=0.03)
    assert entry.weight_bytes is not None and entry.active_parameters is not None
    assert entry.active_parameters <= entry.weight_bytes / 2


@pytest.mark.parametrize(
    ("name", "layers", "experts", "total"),
    [("gpt-oss-20b", 24, 32, 20_914_757_184), ("gpt-oss-120b", 36, 128, 116_829_156_672)],
)
def test_gpt_oss_bytes_are_those_of_mxfp4_experts(
    name: str, layers: int, experts: int, total: int
) -> None:
    weights, biases = 3 * 2880 * 2880, 3 * 2880  # of one expert: gate, up and down
    quantised = layers * experts * (weights * 4.25 / 8 + 2 * biases)
    others = total - layers * experts * (weights + biases)
    assert model(name).weight_bytes == quantised + 2 * others


def test_every_entry_is_compared_with_published_figures() -> None:
    assert ENTRIES.keys() - PARAMETERS.keys() == {
        "smollm2:135m-warm",  # the weights of smollm2:135m
        "gpt-oss-20b",  # not bfloat16: see above
        "gpt-oss-120b",
    }


def test_the_demo_entry_is_the_checkpoint_that_make_demo_writes() -> None:
    entry = model("smollm2:135m")
    folder = ROOT / str(entry.path)
    if not (folder / "config.json").exists():
        pytest.skip(f"{folder} is not there; `make demo` makes it")
    shape: dict[str, Any] = yaml.safe_load((folder / "config.json").read_text())
    assert entry.layers == shape["num_hidden_layers"]
    assert entry.attention_heads == shape["num_attention_heads"]
    assert entry.kv_heads == shape["num_key_value_heads"]
    assert entry.head_size == shape["head_dim"]
    assert entry.hidden_size == shape["hidden_size"]
    assert entry.context_length == shape["max_position_embeddings"]
    assert entry.weight_bytes == (folder / "model.safetensors").stat().st_size


def test_the_warm_demo_entry_differs_in_its_sampling_only() -> None:
    cold, warm = ENTRIES["smollm2:135m"], dict(ENTRIES["smollm2:135m-warm"])
    assert warm.pop("sampling") == {"temperature": 0.7}
    assert warm == cold


@pytest.mark.parametrize("name", [n for n in ENTRIES if n.startswith(("llama3.", "gpt-oss"))])
def test_a_template_that_tells_the_date_is_given_a_fixed_one(name: str) -> None:
    arguments = model(name).chat_template_kwargs
    assert "date_string" in arguments or isinstance(arguments["strftime_now"], FixedDate)


def test_a_fixed_date_stands_in_for_today_in_a_chat_template() -> None:
    import jinja2.sandbox

    template = (
        "{%- macro head() %}Current date: {{ strftime_now('%d %B %Y') }}{% endmacro %}{{ head() }}"
    )
    env = jinja2.sandbox.ImmutableSandboxedEnvironment()
    env.globals["strftime_now"] = lambda _: "today"
    rendered = env.from_string(template).render(**model("gpt-oss-120b").chat_template_kwargs)
    assert rendered == "Current date: 05 August 2025"


def test_a_model_survives_json() -> None:
    import json

    entry = model("gpt-oss-120b")
    again = Model.from_mapping(json.loads(json.dumps(entry.to_json())))
    assert again == entry
    assert again.chat_template_kwargs["strftime_now"]("%Y") == "2025"


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({}, "`hub` is a required property"),
        ({"hub": "a/b", "path": "c"}, "a model has hub or path, not both"),
        ({"hub": "just-a-name"}, "as owner/name"),
        ({"backend": "openai"}, "`base_url` is a required property"),
        ({"hub": "a/b", "tensor_parallel_size": 3}, "a power of two"),
        ({"hub": "a/b", "shards": 0}, "shards: 0 is less than the minimum of 1"),
        ({"hub": "a/b", "engine": {"tensor_parallel_size": 2}}, "beside engine, not in it"),
        ({"hub": "a/b", "weights": 1}, "unknown key `weights`"),
        (
            {"hub": "a/b", "chat_template_kwargs": yaml.safe_load("{strftime_now: 2025-08-05}")},
            "in quotes",
        ),
    ],
)
def test_a_mistake_in_an_entry_is_named(entry: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError) as caught:
        schema.check(entry, "model", "config/models.yaml: mine")
    assert str(caught.value).startswith("config/models.yaml: mine: ")
    assert says in str(caught.value)


def test_a_server_elsewhere_needs_no_weights() -> None:
    schema.check({"backend": "openai", "base_url": "http://localhost:8000/v1"}, "model", "mine")


def test_the_schema_fills_in_the_defaults_of_the_dataclass() -> None:
    entry: dict[str, Any] = {"hub": "a/b"}
    schema.check(entry, "model", "mine")
    assert Model.from_mapping({**entry, "name": "m"}) == Model(name="m", hub="a/b")


def test_schema_and_dataclass_know_the_same_keys() -> None:
    document = yaml.safe_load((schema.SCHEMAS / "model.schema.yaml").read_text())
    assert document["properties"].keys() == Model.__dataclass_fields__.keys() - {"name"}
    assert all("description" in prop for prop in document["properties"].values())


def test_the_lineup_for_four_a100_is_a_valid_config() -> None:
    raw = yaml.safe_load((ROOT / "config" / "lineup-4xa100.yaml").read_text())
    loaded = config.load(raw, MODELS_YAML, "config/lineup-4xa100.yaml")
    assert [m.name for m in loaded.models] == LINEUP
    assert loaded.run == "lineup-4xa100"


def test_the_lineup_states_every_key_that_config_yaml_sets() -> None:
    base = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    lineup = yaml.safe_load((ROOT / "config" / "lineup-4xa100.yaml").read_text())
    assert keys(base) <= keys(lineup)


def keys(mapping: dict[str, Any], prefix: str = "") -> set[str]:
    """Dotted paths of all keys; lists are replaced whole by a merge, so they are not entered."""
    paths = set()
    for key, value in mapping.items():
        paths.add(prefix + key)
        if isinstance(value, dict):
            paths |= keys(value, f"{prefix}{key}.")
    return paths
