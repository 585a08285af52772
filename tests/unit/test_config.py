"""The configuration: what is right is resolved, what is wrong is one line that says how to mend it."""

import collections
import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from snakemake.common.configfile import load_configfile
from snakemake.utils import update_config

from evalpack import config
from evalpack.build import build
from evalpack.errors import UserError
from evalpack.jobs import RunSpec
from evalpack.weights import fingerprint

ENTRIES = """
x-defaults: &defaults {hub: owner/base}
tiny: {path: models/tiny, layers: 2, sampling: {top_k: 5, seed: 1}, stop: ["###"]}
big:8b: {hub: owner/big, revision: abc, weight_bytes: 16, engine: {dtype: half, seed: 0}}
served: {backend: openai, base_url: "http://localhost:8000/v1", served_model: real-name}
broken: {hub: owner/broken, weigth_bytes: 3}
"""
MINIMAL = {"samples": {"path": "samples.jsonl"}, "models": ["tiny"]}
ENDPOINT = {"backend": "openai", "base_url": "http://localhost:8000/v1"}


@pytest.fixture
def entries(tmp_path: Path) -> Path:
    path = tmp_path / "models.yaml"
    path.write_text(ENTRIES)
    return path


def load(entries: Path, **sections: Any) -> config.Config:
    return config.load({**MINIMAL, **sections}, entries, "config.yaml")


def refusal(entries: Path, **sections: Any) -> str:
    """The sentence with which a configuration is refused."""
    with pytest.raises(UserError) as caught:
        load(entries, **sections)
    return str(caught.value)


MISTAKES: list[tuple[dict[str, Any], list[str]]] = [
    ({"sampels": {}}, ["unknown key `sampels`", "known keys are", "samples"]),
    ({"quality": {"min_rate": 1}}, ["quality: unknown key `min_rate`", "min_success_rate"]),
    ({"samples": {"path": "a", "limits": 3}}, ["samples: unknown key `limits`", "limit"]),
    ({"samples": {}}, ["samples: `path` is a required property"]),
    ({"samples": {"path": "a", "limit": 0}}, ["samples.limit: 0 is less than the minimum of 1"]),
    ({"run": "a b"}, ["run: 'a b' does not match", "Name of this run"]),
    ({"run": "-x"}, ["run: '-x' does not match"]),
    ({"run": "x" * 65}, ["run: 'xxx", "does not match"]),
    ({"results": ""}, ["results: '' does not match"]),
    ({"models": []}, ["models: [] should be non-empty"]),
    ({"models": "tiny"}, ["models: 'tiny' is not of type 'array'", "Names out of"]),
    ({"models": [{"path": "x"}]}, ["models.0: `name` is a required property"]),
    ({"models": ["tinny"]}, ["models: unknown model `tinny`", "models.yaml", "`tiny`", "Add an"]),
    ({"models": [{"name": "a", "base": "bog:8b"}]}, ["unknown model `bog:8b`", "`big:8b`"]),
    ({"models": ["tiny", "tiny"]}, ["models: `tiny` is named twice"]),
    ({"models": [{"name": "tiny", "shard": 2}]}, ["models.tiny: unknown key `shard`", "shards"]),
    ({"models": [{"name": "tiny", "shards": "2"}]}, ["models.tiny: shards: '2' is not of type"]),
    ({"models": [{"name": "tiny", "sampling": {"top_q": 1}}]}, ["models.tiny.sampling", "`top_q`"]),
    ({"models": [{"name": "tiny", "adapter": "lora"}]}, ["models.tiny: adapter", "merge it"]),
    ({"models": ["broken"]}, ["models.broken: unknown key `weigth_bytes`", "weight_bytes"]),
    ({"models": ["x-defaults"]}, ["unknown model `x-defaults`"]),
    ({"sampling": {"temprature": 1}}, ["sampling: unknown key `temprature`", "temperature"]),
    (
        {"sampling": {"temperature": "hot"}},
        ["sampling: temperature: 'hot' is not of type 'number'"],
    ),
    ({"sampling": {"max_tokens": 0}}, ["sampling: max_tokens: 0 is less than the minimum of 1"]),
    ({"sampling": {"n": 3}}, ["sampling: unknown key `n`"]),
    ({"sampling": {"stop": "END"}}, ["sampling: stop: 'END' is not of type 'array'"]),
    ({"conditions": [{"name": "a"}, {"name": "a"}]}, ["conditions: `a` is named twice"]),
    ({"conditions": [{"n": 2}]}, ["conditions.0: `name` is a required property"]),
    ({"conditions": [{"name": "a", "n": 0}]}, ["conditions.0.n: 0 is less than the minimum of 1"]),
    ({"conditions": [{"name": "a", "draws": 2}]}, ["conditions.0: unknown key `draws`"]),
    (
        {"conditions": [{"name": "a", "sampling": {"top_p": 2}}]},
        ["conditions.a.sampling: top_p: 2 is greater than the maximum of 1"],
    ),
    ({"engine": {"backend": "vlm"}}, ["engine.backend: 'vlm' is not one of ['vllm', 'openai']"]),
    (
        {"engine": {"backend": "openai"}, "models": ["gpt"]},
        ["models.gpt: `base_url` is a required"],
    ),
    ({"hardware": {"gpus": -1}}, ["hardware.gpus: -1 is less than the minimum of 0"]),
    ({"hardware": None}, ["hardware: None is not of type 'object'"]),
    ({"planning": {"shards": 1.5}}, ["planning.shards: 1.5 is not of type 'integer'"]),
    ({"judge": {"prompt": "x"}}, ["judge: unknown key `prompt`", "rubric"]),
    ({"quality": {"min_success_rate": 90}}, ["quality.min_success_rate: 90 is greater"]),
    ({"parsers": ["a", "b"]}, ["parsers: ['a', 'b'] is too long"]),
]


@pytest.mark.parametrize(("sections", "says"), MISTAKES)
def test_a_mistake_is_one_line_naming_file_key_and_mend(
    entries: Path, sections: dict[str, Any], says: list[str]
) -> None:
    sentence = refusal(entries, **sections)
    assert sentence.startswith("config.yaml: ")
    assert "\n" not in sentence
    for part in says:
        assert part in sentence


def test_a_model_that_is_a_number_is_told_what_it_may_be(entries: Path) -> None:
    assert "under any of the given schemas" not in refusal(entries, models=[3])


def test_a_run_name_ends_with_its_last_letter(entries: Path) -> None:
    assert "does not match" in refusal(entries, run="demo\n")


def test_an_unknown_parser_is_named_with_its_file(entries: Path) -> None:
    assert refusal(entries, parsers=["nonsense"]).startswith("config.yaml: parsers")


def test_an_unknown_base_is_an_error_also_beside_a_path(entries: Path) -> None:
    wrong = {"name": "mine", "base": "tinny", "path": "models/mine"}
    assert "unknown model `tinny`" in refusal(entries, models=[wrong])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a: [", "is not valid YAML"),
        ("- tiny", "must be a mapping from model name to entry"),
        ("tiny: models/tiny", "must be a mapping from model name to entry"),
        ("", "must be a mapping from model name to entry"),
    ],
)
def test_a_models_file_that_cannot_be_read_is_named(entries: Path, content: str, says: str) -> None:
    entries.write_text(content)
    sentence = refusal(entries)
    assert sentence.startswith(str(entries))
    assert says in sentence
    assert "\n" not in sentence


def test_a_models_file_that_is_missing_is_named(tmp_path: Path) -> None:
    assert "none.yaml is missing" in refusal(tmp_path / "none.yaml")


def test_what_is_not_said_has_its_default(entries: Path) -> None:
    loaded = load(entries)
    assert loaded.run_dir == Path("results/demo")
    assert loaded.sampling == {"temperature": 0.0, "max_tokens": 512}
    assert [(c.name, c.n) for c in loaded.conditions] == [("default", 1)]
    assert loaded.raw["quality"] == {"min_success_rate": 0.9}
    assert loaded.raw["engine"]["backend"] == "vllm"
    assert loaded.raw["parsers"] == ["moral_rating"]


def test_the_mapping_that_was_given_stays_as_it_was(entries: Path) -> None:
    raw = {**MINIMAL, "models": [{"name": "tiny", "sampling": {"top_k": 9}}]}
    before = json.dumps(raw)
    config.load(raw, entries)
    assert json.dumps(raw) == before


def test_overrides_go_over_the_entry_and_leave_the_rest(entries: Path) -> None:
    (model,) = load(entries, models=[{"name": "tiny", "layers": 3, "shards": 2}]).models
    assert (model.path, model.layers, model.shards) == ("models/tiny", 3, 2)


def test_nested_overrides_merge_key_by_key(entries: Path) -> None:
    one, other = load(
        entries,
        models=[
            {"name": "tiny", "sampling": {"top_k": 9}},
            {"name": "big:8b", "engine": {"dtype": "float32"}},
        ],
    ).models
    assert one.sampling == {"top_k": 9, "seed": 1}
    assert other.engine == {"dtype": "float32", "seed": 0}


def test_a_model_can_start_from_the_entry_of_another(entries: Path) -> None:
    (model,) = load(entries, models=[{"name": "big-warm", "base": "big:8b"}]).models
    assert (model.name, model.slug, model.hub) == ("big-warm", "big-warm", "owner/big")
    assert model.revision == "abc"


@pytest.mark.parametrize("other", [{"path": "models/mine"}, {"hub": "owner/mine"}])
def test_another_checkpoint_does_not_keep_the_commit_of_the_first(
    entries: Path, other: dict[str, str]
) -> None:
    (model,) = load(entries, models=[{"name": "big:8b", **other}]).models
    assert model.revision is None
    assert (model.hub, model.path) == (other.get("hub"), other.get("path"))
    assert model.weight_bytes == 16


def test_a_model_without_an_entry_needs_only_its_files(entries: Path) -> None:
    (model,) = load(entries, models=[{"name": "mine", "path": "models/mine"}]).models
    assert model.path == "models/mine"


def test_stop_texts_of_model_and_sampling_add_up_each_once(entries: Path) -> None:
    loaded = load(
        entries,
        sampling={"stop": ["END", "###"]},
        conditions=[{"name": "plain"}, {"name": "own", "sampling": {"stop": ["STOP"]}}],
    )
    stops = [loaded.sampling_of(loaded.models[0], c)["stop"] for c in loaded.conditions]
    assert stops == [["###", "END"], ["###", "STOP"]]


def test_without_stop_texts_there_is_no_stop(entries: Path) -> None:
    loaded = load(entries, models=["big:8b"])
    assert "stop" not in loaded.sampling_of(loaded.models[0], loaded.conditions[0])


def test_sampling_of_the_condition_goes_over_the_models_over_the_runs(entries: Path) -> None:
    loaded = load(
        entries,
        sampling={"temperature": 0.5, "top_k": 1, "seed": 0, "top_p": 0.9},
        conditions=[{"name": "default", "sampling": {"seed": 7, "max_tokens": 9}}],
    )
    sampling = loaded.sampling_of(loaded.models[0], loaded.conditions[0])
    del sampling["stop"]
    wanted = {"temperature": 0.5, "top_p": 0.9, "top_k": 5, "seed": 7, "max_tokens": 9}
    assert sampling == wanted


@pytest.mark.parametrize(("one", "other"), [("a:b", "a/b"), ("a:b", "A-B"), (".x", "-x")])
def test_names_that_would_share_files_are_refused_whatever_their_case(
    entries: Path, one: str, other: str
) -> None:
    models = [{"name": name, "path": "models/x"} for name in (one, other)]
    sentence = refusal(entries, models=models)
    assert f"`{one}` and `{other}` would share the file name" in sentence
    assert "rename one of them" in sentence


def test_a_model_is_found_by_its_file_name(entries: Path) -> None:
    assert load(entries, models=["tiny", "big:8b"]).model("big-8b").name == "big:8b"


def test_each_model_can_have_a_backend_of_its_own(entries: Path) -> None:
    tiny, served, api = load(
        entries,
        models=[
            "tiny",
            "served",
            {"name": "gpt", "evaluation_type": "api", **ENDPOINT},
        ],
    ).models
    assert [m.backend for m in (tiny, served, api)] == ["vllm", "openai", "openai"]
    assert [m.records_as for m in (tiny, served, api)] == ["server", "local", "api"]


def test_a_vllm_model_in_a_run_of_a_server_keeps_its_weights(entries: Path) -> None:
    run = {**ENDPOINT, "evaluation_type": "api"}
    models = ["gpt", {"name": "tiny", "backend": "vllm"}]
    gpt, tiny = load(entries, engine=run, models=models).models
    assert (gpt.backend, gpt.base_url, gpt.path) == ("openai", ENDPOINT["base_url"], None)
    assert (tiny.backend, tiny.path, tiny.records_as) == ("vllm", "models/tiny", "server")


def test_models_of_a_server_need_no_entry(entries: Path) -> None:
    loaded = load(entries, engine=ENDPOINT, models=["gpt-x", {"name": "gpt-y", "shards": 2}])
    assert [(m.name, m.base_url) for m in loaded.models] == [
        ("gpt-x", ENDPOINT["base_url"]),
        ("gpt-y", ENDPOINT["base_url"]),
    ]


def test_one_model_of_a_server_needs_no_entry_where_the_run_says_the_url(entries: Path) -> None:
    models = ["tiny", {"name": "gpt", "backend": "openai"}]
    loaded = load(entries, engine={"base_url": ENDPOINT["base_url"]}, models=models)
    assert loaded.models[1].base_url == ENDPOINT["base_url"]


def test_of_an_entry_a_server_takes_no_checkpoint(entries: Path) -> None:
    (model,) = load(entries, engine=ENDPOINT, models=["big:8b"]).models
    assert (model.hub, model.revision, model.weight_bytes) == (None, None, 16)


def _only_plain(value: Any) -> bool:
    if type(value) is dict:
        return all(type(k) is str and _only_plain(v) for k, v in value.items())
    if type(value) is list:
        return all(_only_plain(v) for v in value)
    return value is None or type(value) in (str, int, float, bool)


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_what_a_second_config_file_merges_to_is_plain_data(
    entries: Path, tmp_path: Path, suffix: str
) -> None:
    first = {**MINIMAL, "sampling": {"temperature": 0.2, "max_tokens": 7}, "judge": {}}
    second = {"run": "second", "sampling": {"max_tokens": 9}, "models": ["big:8b"]}
    merged: dict[str, Any] = collections.OrderedDict()
    for name, content in (("first", first), ("second", second)):
        path = tmp_path / f"{name}.{suffix}"
        path.write_text(json.dumps(content) if suffix == "json" else yaml.safe_dump(content))
        update_config(merged, load_configfile(path))
    loaded = config.load(merged, entries)
    assert _only_plain(loaded.raw), loaded.raw
    assert yaml.safe_load(yaml.safe_dump(loaded.raw)) == loaded.raw
    assert (loaded.run, [m.name for m in loaded.models]) == ("second", ["big:8b"])
    assert loaded.sampling == {"temperature": 0.2, "max_tokens": 9}


class TestJobs:
    """What a configuration comes to, model by model."""

    ASKED: ClassVar[dict[str, Any]] = {
        "models": ["tiny", {"name": "big:8b", "system_prompt": "Be kind."}],
        "conditions": [{"name": "plain"}, {"name": "own", "system_prompt": "Be brief."}],
        "hardware": {"gpus": 0},
    }

    def test_a_condition_without_a_system_prompt_has_the_models_own(self, entries: Path) -> None:
        tiny, big = build(load(entries, **self.ASKED), limit=None).models
        assert [a.system_prompt for a in tiny.askings] == [None, "Be brief."]
        assert [a.system_prompt for a in big.askings] == ["Be kind.", "Be brief."]

    def test_an_empty_one_goes_over_the_models_own(self, entries: Path) -> None:
        silent = {**self.ASKED, "conditions": [{"name": "silent", "system_prompt": ""}]}
        _, big = build(load(entries, **silent), limit=None).models
        assert [a.system_prompt for a in big.askings] == [""]

    def test_the_plan_keeps_the_digest_of_settings_that_snakemake_saw(
        self, entries: Path, tmp_path: Path
    ) -> None:
        spec = build(load(entries, **self.ASKED), limit=None)
        spec.save(tmp_path / "plan.json")
        loaded = RunSpec.load(tmp_path / "plan.json")
        for job, kept in zip(spec.models, loaded.models, strict=True):
            assert kept.params == job.params == kept.params_digest(fingerprint(kept.model))
        assert len({job.params for job in spec.models}) == 2
