"""What an entry cannot describe is refused in one sentence that says what to do."""

import json
from pathlib import Path
from typing import Any

import pytest
from checkpoints import Tensors, attention, llama, mlp, safetensors, write, write_index

from evalpack.checkpoint.add import describe
from evalpack.checkpoint.source import open_source
from evalpack.errors import UserError

SMALL: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
    "vocab_size": 256,
    "max_position_embeddings": 512,
}


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        describe(open_source(str(folder), None), "2026-11-25")
    said = str(caught.value)
    assert said.startswith(str(folder))
    assert "\n" not in said
    return said


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "m", SMALL, llama(SMALL))


def changed(folder: Path, **config: Any) -> Path:
    (folder / "config.json").write_text(json.dumps({**SMALL, **config}))
    return folder


def test_the_model_that_these_tests_spoil_is_fine(folder: Path) -> None:
    describe(open_source(str(folder), None), "2026-11-25")


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"architectures": ["BertForMaskedLM"]}, "is not a causal language model"),
        ({"architectures": ["MistralModel"]}, "is not a causal language model"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "gives scores, not text"),
        ({"architectures": ["Qwen2ForRewardModel"]}, "gives scores, not text"),
        ({"architectures": None}, "names no architecture"),
        (
            {"architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True},
            "is an encoder-decoder",
        ),
        (
            {"architectures": ["BartForConditionalGeneration"], "is_encoder_decoder": True},
            "is an encoder-decoder",
        ),
        ({"model_type": "mamba", "state_size": 16}, "layers that are not attention (state_size)"),
        ({"model_type": "recurrent_gemma", "lru_width": 64}, "layers that are not attention"),
        ({"model_type": "jamba", "attn_layer_period": 8}, "layers that are not attention"),
        (
            {"layer_types": ["linear_attention", "full_attention"]},
            "layers that are not attention (linear_attention)",
        ),
        ({"model_type": "deepseek_v3", "kv_lora_rank": 512}, "multi-head latent attention"),
        (
            {"model_type": "nobody_knows", "auto_map": {"AutoConfig": "configuration.Mine"}},
            "`trust_remote_code: true`",
        ),
        ({"architectures": 7}, "hold values of another kind than expected"),
        ({"layer_types": [{}]}, "hold values of another kind than expected"),
        ({"quantization_config": {"quant_method": "aqlm"}}, "`aqlm` is not understood"),
        (
            {"num_key_value_heads": 4},
            "says 4 KV heads of size 16, the tensors say otherwise (32 numbers a token)",
        ),
        ({"head_dim": 32}, "says 2 KV heads of size 32, the tensors say otherwise"),
        ({"num_hidden_layers": 3}, "2 of its 3 layers are known to have keys and values"),
        (
            {"model_type": "nobody_knows", "max_position_embeddings": None},
            "does not say max_position_embeddings",
        ),
        (
            {"num_local_experts": 8, "num_experts_per_tok": 2},
            "says 2 of 8 experts a token, and no tensors are experts'",
        ),
    ],
)
def test_a_config_that_is_not_understood(folder: Path, config: dict[str, Any], says: str) -> None:
    assert says in refusal(changed(folder, **config))


def test_code_that_transformers_has_itself_need_not_be_trusted(folder: Path) -> None:
    pytest.importorskip("transformers")
    changed(folder, auto_map={"AutoConfig": "configuration_llama.LlamaConfig"})
    describe(open_source(str(folder), None), "2026-11-25")


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"README.md": "x"}, "holds no config.json"),
        ({"m.Q4_K_M.gguf": "x"}, "holds GGUF files only"),
        ({"config.json": json.dumps(SMALL), "m.gguf": "x"}, "holds GGUF files only"),
        ({"params.json": "{}", "consolidated.safetensors": "x"}, "Mistral's own format only"),
        (
            {"adapter_config.json": '{"base_model_name_or_path": "owner/base"}'},
            "is a LoRA adapter of owner/base; merge",
        ),
        (
            {"config.json": json.dumps(SMALL), "pytorch_model.bin": "x"},
            "has no safetensors; pickle",
        ),
        ({"config.json": json.dumps(SMALL)}, "has no weights"),
        ({"config.json": '{"a": '}, "config.json is damaged"),
        ({"config.json": "[]"}, "config.json is damaged"),
    ],
)
def test_a_folder_that_holds_something_else(
    tmp_path: Path, files: dict[str, str], says: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert says in refusal(tmp_path)


class TestFiles:
    def test_a_shard_that_is_missing(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "m", SMALL, llama(SMALL), parts=3)
        (folder / "model-00002-of-00003.safetensors").unlink()
        said = refusal(folder)
        assert "1 of the 3 files" in said
        assert "model-00002-of-00003.safetensors" in said

    def test_an_index_that_is_missing(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "m", SMALL, llama(SMALL), parts=3)
        (folder / "model.safetensors.index.json").unlink()
        assert "is part of a set, but model.safetensors.index.json is missing" in refusal(folder)

    @pytest.mark.parametrize("index", ["{}", '{"weight_map": {}}', '{"weight_map": 3}'])
    def test_an_index_that_names_nothing(self, folder: Path, index: str) -> None:
        (folder / "model.safetensors.index.json").write_text(index)
        assert "names no files" in refusal(folder)

    def test_a_tensor_that_the_index_names_and_no_file_has(self, folder: Path) -> None:
        write_index(folder, {"model.lost.weight": "model.safetensors"}, 1)
        assert "names model.lost.weight, which no file holds" in refusal(folder)

    def test_weights_that_are_there_twice(self, folder: Path) -> None:
        safetensors(folder / "model.fp16.safetensors", llama(SMALL))
        assert "model.fp16.safetensors and model.safetensors both hold" in refusal(folder)

    def test_a_file_that_was_cut_short(self, folder: Path) -> None:
        file = folder / "model.safetensors"
        with file.open("r+b") as content:
            content.truncate(file.stat().st_size - 1)
        assert "model.safetensors is cut short" in refusal(folder)

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            (b"", "is torn or no safetensors file"),
            (b"version https://git-lfs.github.com/spec/v1\n", "is torn or no safetensors file"),
            ((9).to_bytes(8, "little") + b"{}", "is torn or no safetensors file"),
            ((2).to_bytes(8, "little") + b"[]", "no readable safetensors header"),
            ((8).to_bytes(8, "little") + b'{"a": 3}', "no readable safetensors header"),
            (
                (56).to_bytes(8, "little")
                + b'{"a": {"dtype": "F8", "shape":[], "data_offsets":[4,2]}}',
                "no readable safetensors header",
            ),
            ((2).to_bytes(8, "little") + b"\xff\xff", "no readable safetensors header"),
        ],
    )
    def test_a_file_that_is_none(self, folder: Path, content: bytes, says: str) -> None:
        (folder / "model.safetensors").write_bytes(content)
        assert says in refusal(folder)


class TestTensors:
    """What config.json does not say, the tensors do."""

    def spoilt(self, folder: Path, tensors: Tensors, **config: Any) -> str:
        return refusal(write(folder, {**SMALL, **config}, tensors))

    def test_layers_that_share_their_keys_or_have_none(self, folder: Path) -> None:
        tensors = {k: v for k, v in llama(SMALL).items() if "layers.1.self_attn" not in k}
        assert "1 of its 2 layers" in self.spoilt(folder, tensors)

    def test_layers_that_differ(self, folder: Path) -> None:
        tensors = llama(SMALL)
        tensors["model.layers.1.self_attn.k_proj.weight"] = ("BF16", (16, 64))
        assert "(layers differ)" in self.spoilt(folder, tensors)

    def test_cross_attention_is_no_attention_to_the_text(self, folder: Path) -> None:
        tensors = {k: v for k, v in llama(SMALL).items() if "layers.1.self_attn" not in k}
        for name, dims in attention("model.layers.1.cross_attn", 64, 4, 2, 16):
            tensors[name] = ("BF16", dims)
        assert "1 of its 2 layers" in self.spoilt(folder, tensors)

    def test_experts_that_config_json_counts_otherwise(self, folder: Path) -> None:
        tensors = llama(SMALL)
        for expert in range(3):
            for name, dims in mlp(f"model.layers.0.mlp.experts.{expert}", 64, 32):
                tensors[name] = ("BF16", dims)
        said = self.spoilt(folder, tensors, num_experts=4, num_experts_per_tok=2)
        assert "says 4 experts, the tensors have 3" in said
        assert "some tensors are experts'" in self.spoilt(folder, tensors)


@pytest.mark.parametrize(
    ("source", "revision", "says"),
    [
        ("no-such-thing", None, "is neither a folder nor a hub id (owner/name)"),
        ("/no/such/folder", None, "is neither a folder nor a hub id"),
        ("{folder}", "main", "is a folder, which has no revision"),
        ("{folder}/config.json", None, "is a file; give the folder"),
    ],
)
def test_a_source_that_is_none(folder: Path, source: str, revision: str | None, says: str) -> None:
    with pytest.raises(UserError) as caught:
        open_source(source.format(folder=folder), revision)
    assert says in str(caught.value)
