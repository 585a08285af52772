"""A checkpoint's numbers: read out of true headers, they are those that models.yaml has."""

from pathlib import Path
from typing import Any

import pytest
from checkpoints import TOKENIZER, Tensors, attention, llama, mlp, write, write_index

from evalpack.checkpoint.add import describe
from evalpack.checkpoint.source import open_source
from evalpack.lineup import load_models

ROOT = Path(__file__).resolve().parents[2]
ENTRIES = load_models(ROOT / "config" / "models.yaml")
SHAPE = (
    "weight_bytes",
    "layers",
    "attention_heads",
    "kv_heads",
    "head_size",
    "hidden_size",
    "active_parameters",
    "experts",
    "experts_per_token",
    "context_length",
    "quantization",
)


def described(folder: Path) -> dict[str, Any]:
    fields, _ = describe(open_source(str(folder), None), "2026-11-25")
    return {key: value for key, value in fields.items() if value not in (None, {})}


def shape(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: entry[key] for key in SHAPE if key in entry}


def config(layers: int, hidden: int, heads: int, kv: int, **more: Any) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "torch_dtype": "bfloat16",
        **more,
    }


LLAMA_8B = config(
    *(32, 4096, 32, 8),
    intermediate_size=14336,
    vocab_size=128256,
    max_position_embeddings=131072,
    tie_word_embeddings=False,
)
QWEN_7B = config(
    *(28, 3584, 28, 4),
    architectures=["Qwen2ForCausalLM"],
    model_type="qwen2",
    intermediate_size=18944,
    vocab_size=152064,
    max_position_embeddings=32768,
)
QWEN3_06B = config(
    *(28, 1024, 16, 8),
    architectures=["Qwen3ForCausalLM"],
    model_type="qwen3",
    head_dim=128,
    intermediate_size=3072,
    vocab_size=151936,
    max_position_embeddings=40960,
    tie_word_embeddings=True,
)
SMALL = config(*(2, 64, 4, 2), intermediate_size=128, vocab_size=256, max_position_embeddings=512)


def dense(tensors: Tensors) -> int:
    total = 0
    for _, dims in tensors.values():
        product = 1
        for dim in dims:
            product *= dim
        total += product
    return total


def mixtral() -> tuple[dict[str, Any], Tensors]:
    found = config(
        *(32, 4096, 32, 8),
        architectures=["MixtralForCausalLM"],
        model_type="mixtral",
        intermediate_size=14336,
        vocab_size=32000,
        max_position_embeddings=32768,
        num_local_experts=8,
        num_experts_per_tok=2,
    )
    tensors = {name: t for name, t in llama(found).items() if ".mlp." not in name}
    for layer in range(32):
        at = f"model.layers.{layer}.block_sparse_moe"
        tensors[f"{at}.gate.weight"] = ("BF16", (8, 4096))
        for expert in range(8):
            for matrix, dims in (
                ("w1", (14336, 4096)),
                ("w2", (4096, 14336)),
                ("w3", (14336, 4096)),
            ):
                tensors[f"{at}.experts.{expert}.{matrix}.weight"] = ("BF16", dims)
    return found, tensors


def qwen3_moe() -> tuple[dict[str, Any], Tensors]:
    found = config(
        *(48, 2048, 32, 4),
        architectures=["Qwen3MoeForCausalLM"],
        model_type="qwen3_moe",
        head_dim=128,
        intermediate_size=6144,
        vocab_size=151936,
        max_position_embeddings=40960,
        num_experts=128,
        num_experts_per_tok=8,
    )
    tensors = {name: t for name, t in llama(found).items() if ".mlp." not in name}
    for layer in range(48):
        at = f"model.layers.{layer}"
        tensors |= {f"{at}.self_attn.{n}_norm.weight": ("BF16", (128,)) for n in "qk"}
        tensors[f"{at}.mlp.gate.weight"] = ("BF16", (128, 2048))
        for expert in range(128):
            for name, dims in mlp(f"{at}.mlp.experts.{expert}", 2048, 768):
                tensors[name] = ("BF16", dims)
    return found, tensors


def gpt_oss(layers: int, experts: int) -> tuple[dict[str, Any], Tensors]:
    found = config(
        *(layers, 2880, 64, 8),
        architectures=["GptOssForCausalLM"],
        model_type="gpt_oss",
        head_dim=64,
        max_position_embeddings=131072,
        vocab_size=201088,
        num_local_experts=experts,
        num_experts_per_tok=4,
        experts_per_token=4,
        quantization_config={"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]},
    )
    del found["torch_dtype"]
    plain: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (201088, 2880),
        "model.norm.weight": (2880,),
        "lm_head.weight": (201088, 2880),
    }
    packed: dict[str, tuple[int, ...]] = {}
    for layer in range(layers):
        at = f"model.layers.{layer}"
        plain |= attention(f"{at}.self_attn", 2880, 64, 8, 64, bias="qkvo")
        plain[f"{at}.self_attn.sinks"] = (64,)
        plain |= {f"{at}.{n}_layernorm.weight": (2880,) for n in ("input", "post_attention")}
        plain[f"{at}.mlp.router.weight"] = (experts, 2880)
        plain[f"{at}.mlp.router.bias"] = (experts,)
        for matrix, rows in (("gate_up", 5760), ("down", 2880)):
            of = f"{at}.mlp.experts.{matrix}_proj"
            packed[f"{of}_blocks"] = (experts, rows, 90, 16)
            packed[f"{of}_scales"] = (experts, rows, 90)
            plain[f"{of}_bias"] = (experts, rows)
    return found, {name: ("BF16", dims) for name, dims in plain.items()} | {
        name: ("U8", dims) for name, dims in packed.items()
    }


def gemma3_4b() -> tuple[dict[str, Any], Tensors]:
    """With the config.json of the hub, which leaves out what is the default of its class."""
    text = {
        "model_type": "gemma3_text",
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "num_hidden_layers": 34,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window": 1024,
    }
    found = {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "model_type": "gemma3",
        "text_config": text,
        "torch_dtype": "bfloat16",
        "vision_config": {"hidden_size": 1152, "num_hidden_layers": 27, "patch_size": 14},
    }
    lm, shapes = "language_model.model", {}
    shapes[f"{lm}.embed_tokens.weight"] = (262208, 2560)
    shapes[f"{lm}.norm.weight"] = (2560,)
    for layer in range(34):
        at = f"{lm}.layers.{layer}"
        shapes |= attention(f"{at}.self_attn", 2560, 8, 4, 256)
        shapes |= mlp(f"{at}.mlp", 2560, 10240)
        shapes |= {f"{at}.self_attn.{n}_norm.weight": (256,) for n in "qk"}
        for norm in ("input", "post_attention", "pre_feedforward", "post_feedforward"):
            shapes[f"{at}.{norm}_layernorm.weight"] = (2560,)
    tower = "vision_tower.vision_model"
    shapes[f"{tower}.embeddings.patch_embedding.weight"] = (1152, 3, 14, 14)
    shapes[f"{tower}.embeddings.patch_embedding.bias"] = (1152,)
    shapes[f"{tower}.embeddings.position_embedding.weight"] = (4096, 1152)
    for layer in range(27):
        at = f"{tower}.encoder.layers.{layer}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes[f"{at}.self_attn.{name}.weight"] = (1152, 1152)
            shapes[f"{at}.self_attn.{name}.bias"] = (1152,)
        for name, rows, columns in (("fc1", 4304, 1152), ("fc2", 1152, 4304)):
            shapes[f"{at}.mlp.{name}.weight"] = (rows, columns)
            shapes[f"{at}.mlp.{name}.bias"] = (rows,)
        for norm in ("layer_norm1", "layer_norm2"):
            shapes |= {f"{at}.{norm}.{part}": (1152,) for part in ("weight", "bias")}
    shapes |= {f"{tower}.post_layernorm.{part}": (1152,) for part in ("weight", "bias")}
    shapes["multi_modal_projector.mm_input_projection_weight"] = (1152, 2560)
    shapes["multi_modal_projector.mm_soft_emb_norm.weight"] = (1152,)
    return found, {name: ("BF16", dims) for name, dims in shapes.items()}


class TestLikeModelsYaml:
    def test_llama(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "m", LLAMA_8B, llama(LLAMA_8B), parts=4)
        assert shape(described(folder)) == shape(ENTRIES["llama3.1:8b"])

    def test_qwen_with_its_biases(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "m", QWEN_7B, llama(QWEN_7B, bias="qkv"), parts=4)
        assert shape(described(folder)) == shape(ENTRIES["qwen2.5:7b"])

    def test_a_tied_output_layer_that_is_stored_again_is_bytes_but_no_parameters(
        self, tmp_path: Path
    ) -> None:
        tensors = llama(QWEN3_06B)
        for layer in range(28):
            for n in "qk":
                tensors[f"model.layers.{layer}.self_attn.{n}_norm.weight"] = ("BF16", (128,))
        folder = write(tmp_path / "m", QWEN3_06B, tensors)
        assert shape(described(folder)) == shape(ENTRIES["qwen3:0.6b"])

    def test_mixtral(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "m", *mixtral(), parts=19)
        assert shape(described(folder)) == shape(ENTRIES["mixtral:8x7b"])

    def test_qwen3_with_experts(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "m", *qwen3_moe(), parts=16)
        assert shape(described(folder)) == shape(ENTRIES["qwen3:30b-a3b"])

    @pytest.mark.parametrize(
        ("name", "layers", "experts"), [("gpt-oss-20b", 24, 32), ("gpt-oss-120b", 36, 128)]
    )
    def test_gpt_oss_in_mxfp4(self, tmp_path: Path, name: str, layers: int, experts: int) -> None:
        folder = write(tmp_path / "m", *gpt_oss(layers, experts), parts=3)
        found, entry = described(folder), dict(ENTRIES[name])
        # models.yaml has the model card's count, which leaves the embedding out.
        entry["active_parameters"] += 201088 * 2880
        assert shape(found) == shape(entry)
        assert "dtype" not in found

    def test_gemma3_without_its_vision_tower(self, tmp_path: Path) -> None:
        pytest.importorskip("transformers")
        found = described(write(tmp_path / "m", *gemma3_4b(), parts=2))
        entry = ENTRIES["gemma3:4b"]
        assert shape(found) == shape(entry)
        assert found["engine"] == entry["engine"]

    def test_the_demo(self) -> None:
        folder = ROOT / "models" / "smollm2-135m-instruct"
        if not (folder / "config.json").exists():
            pytest.skip(f"{folder} is not there; `make demo` makes it")
        found, entry = described(folder), dict(ENTRIES["smollm2:135m"])
        file = folder / "model.safetensors"
        with file.open("rb") as content:
            head = 8 + int.from_bytes(content.read(8), "little")
        assert found["weight_bytes"] == file.stat().st_size - head
        del entry["weight_bytes"]  # the file with its header
        assert shape(found) == {"weight_bytes": found["weight_bytes"], **shape(entry)}
        assert "system_role" not in found  # native, the default


class TestBytes:
    def test_a_second_form_of_the_weights_is_not_counted(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "m", SMALL, llama(SMALL))
        before = described(folder)
        (folder / "consolidated.safetensors").write_text("not read")
        (folder / "params.json").write_text("{}")
        after = described(folder)
        assert after["weight_bytes"] == before["weight_bytes"] == 2 * before["active_parameters"]
        assert after["engine"] == ENTRIES["mistral:7b"]["engine"]

    def test_the_headers_win_over_the_index(self, tmp_path: Path) -> None:
        tensors = llama(SMALL)
        folder = write(tmp_path / "m", SMALL, tensors)
        write_index(folder, dict.fromkeys(tensors, "model.safetensors"), 7)
        fields, notes = describe(open_source(str(folder), None), "2026-11-25")
        assert fields["weight_bytes"] == 2 * dense(tensors)
        assert notes == {"weight_bytes": "of the tensors; their index says 7"}


def packed(name: str, matrix: tuple[int, int], form: str) -> Tensors:
    """How a matrix (out × in) is stored."""
    out, into = matrix
    if form == "gptq":
        return {
            f"{name}.qweight": ("I32", (into // 8, out)),
            f"{name}.qzeros": ("I32", (into // 32, out // 8)),
            f"{name}.scales": ("F16", (into // 32, out)),
            f"{name}.g_idx": ("I32", (into,)),
        }
    if form == "awq":
        return {
            f"{name}.qweight": ("I32", (into, out // 8)),
            f"{name}.qzeros": ("I32", (into // 32, out // 8)),
            f"{name}.scales": ("F16", (into // 32, out)),
        }
    if form == "compressed-tensors":
        return {
            f"{name}.weight_packed": ("I32", (out, into // 8)),
            f"{name}.weight_scale": ("BF16", (out, into // 32)),
            f"{name}.weight_shape": ("I64", (2,)),
        }
    if form == "bitsandbytes":
        return {
            f"{name}.weight": ("U8", (out * into // 2, 1)),
            f"{name}.weight.absmax": ("F32", (out * into // 64,)),
            f"{name}.weight.quant_map": ("F32", (16,)),
            f"{name}.weight.quant_state.bitsandbytes__nf4": ("U8", (90,)),
        }
    return {
        f"{name}.weight": ("F8_E4M3", (out, into)),
        f"{name}.weight_scale_inv": ("F32", (1, 1)),
    }


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("gptq", {"bits": 4}),
        ("awq", {"bits": 4}),
        ("compressed-tensors", {"config_groups": {"group_0": {"weights": {"num_bits": 4}}}}),
        ("bitsandbytes", {"load_in_4bit": True}),
        ("fp8", {"weight_block_size": [128, 128]}),
    ],
)
def test_packed_weights_are_as_many_parameters_as_plain_ones(
    tmp_path: Path, method: str, more: dict[str, Any]
) -> None:
    plain = llama(SMALL)
    stored: Tensors = {}
    for name, (dtype, dims) in plain.items():
        if "_proj." in name and len(dims) == 2:
            stored |= packed(name.removesuffix(".weight"), (dims[0], dims[1]), method)
        else:
            stored[name] = (dtype, dims)
    quantised = {**SMALL, "quantization_config": {"quant_method": method, **more}}
    found = described(write(tmp_path / "m", quantised, stored))
    assert found["active_parameters"] == dense(plain)
    assert (found["quantization"], found["kv_heads"]) == (method, 2)
    assert found["weight_bytes"] < 2 * dense(plain)


class TestOtherShapes:
    def test_shared_experts_count_fully_and_layers_for_drafting_not_at_all(
        self, tmp_path: Path
    ) -> None:
        moe = {**SMALL, "n_routed_experts": 4, "num_experts_per_tok": 1, "n_shared_experts": 1}
        tensors = llama(SMALL)
        before = dense(tensors)
        at = "model.layers.1.mlp"
        for name, dims in mlp(f"{at}.shared_experts", 64, 32):
            tensors[name] = ("BF16", dims)
        for expert in range(4):
            for name, dims in mlp(f"{at}.experts.{expert}", 64, 32):
                tensors[name] = ("BF16", dims)
        for name, dims in attention("model.layers.2.self_attn", 64, 4, 2, 16):
            tensors[name] = ("BF16", dims)  # a third layer, which config.json does not count
        found = described(write(tmp_path / "m", moe, tensors))
        assert found["active_parameters"] == before + 2 * 3 * 64 * 32
        assert (found["experts"], found["experts_per_token"]) == (4, 1)

    @pytest.mark.parametrize("name", ["qkv_proj", "query_key_value", "c_attn"])
    def test_queries_keys_and_values_in_one_matrix(self, tmp_path: Path, name: str) -> None:
        tensors = llama(SMALL)
        for layer in range(2):
            for letter in "qkv":
                del tensors[f"model.layers.{layer}.self_attn.{letter}_proj.weight"]
            fused = (64, 128) if name == "c_attn" else (128, 64)
            tensors[f"model.layers.{layer}.self_attn.{name}.weight"] = ("BF16", fused)
        assert described(write(tmp_path / "m", SMALL, tensors))["kv_heads"] == 2

    def test_kv_heads_that_config_json_leaves_out_are_those_of_the_tensors(
        self, tmp_path: Path
    ) -> None:
        silent = {k: v for k, v in SMALL.items() if k != "num_key_value_heads"}
        assert described(write(tmp_path / "m", silent, llama(SMALL)))["kv_heads"] == 2

    def test_gpt2_by_its_own_names_and_without_its_masks(self, tmp_path: Path) -> None:
        gpt2 = {
            "architectures": ["GPT2LMHeadModel"],
            "model_type": "gpt2",
            **{"n_layer": 1, "n_head": 4, "n_embd": 64, "n_positions": 128, "n_ctx": 128},
        }
        tensors: Tensors = {
            "wte.weight": ("F32", (256, 64)),
            "h.0.attn.bias": ("F32", (1, 1, 128, 128)),
            "h.0.attn.c_attn.weight": ("F32", (64, 192)),
            "h.0.attn.c_attn.bias": ("F32", (192,)),
        }
        found = described(write(tmp_path / "m", gpt2, tensors, tokenizer={}))
        assert found["active_parameters"] == 256 * 64 + 64 * 192 + 192
        assert (found["kv_heads"], found["head_size"], found["context_length"]) == (4, 16, 128)
        assert (found["dtype"], found["kv_cache_bytes"]) == ("float32", 4)
        assert found["format"] == "completion"

    @pytest.mark.parametrize(
        ("said", "stored", "dtype"),
        [
            ("bfloat16", "BF16", None),
            ("float16", "F16", "float16"),
            (None, "F16", "float16"),
            (None, "BF16", None),
            ("float32", "BF16", None),
            ("float32", "F32", "float32"),
            ("bfloat16", "F32", None),
        ],
    )
    def test_the_type_is_that_of_config_json_else_of_the_tensors(
        self, tmp_path: Path, said: str | None, stored: str, dtype: str | None
    ) -> None:
        spoken = {**SMALL, "torch_dtype": said}
        folder = write(tmp_path / "m", spoken, llama(SMALL, dtype=stored), TOKENIZER)
        assert described(folder).get("dtype") == dtype
