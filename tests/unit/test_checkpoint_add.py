"""`evalpack add`: the entry as it is written, from a folder and from the hub."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkpoints import TOKENIZER, Tensors, header, llama, write
from fake_hub import cache_snapshot, commit, hub

from evalpack.checkpoint import add_model
from evalpack.checkpoint.entry import default_name, entry_text
from evalpack.errors import UserError
from evalpack.lineup import load_models

ROOT = Path(__file__).resolve().parents[2]
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
    "torch_dtype": "bfloat16",
}


@pytest.fixture
def models_yaml(tmp_path: Path) -> Path:
    """The repository's own, for a test to change."""
    file = tmp_path / "models.yaml"
    file.write_bytes((ROOT / "config" / "models.yaml").read_bytes())
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "My-Model-7B-Instruct", SMALL, llama(SMALL))


def add(source: str | Path, models_yaml: Path, **more: Any) -> str:
    asked = {"name": None, "revision": None, "write": True, **more}
    return add_model(str(source), models_yaml=models_yaml, **asked)


def refusal(source: str | Path, models_yaml: Path, **more: Any) -> str:
    before = models_yaml.read_bytes()
    with pytest.raises(UserError) as caught:
        add(source, models_yaml, **more)
    assert models_yaml.read_bytes() == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestWriting:
    def test_an_entry_is_put_behind_what_is_there(self, folder: Path, models_yaml: Path) -> None:
        before = models_yaml.read_bytes()
        text = add(folder, models_yaml)
        assert models_yaml.read_bytes() == before + b"\n" + text.encode()
        comment, *lines = text.splitlines()
        assert comment.startswith(f"# Written by `evalpack add {folder}` on 20")
        assert lines == [
            "my-model:7b:",
            f"  path: {folder}",
            "  weight_bytes: 213632",
            "  layers: 2",
            "  attention_heads: 4",
            "  kv_heads: 2",
            "  head_size: 16",
            "  hidden_size: 64",
            "  active_parameters: 106816",
            "  context_length: 512",
        ]

    def test_what_is_only_to_be_shown_is_not_written(self, folder: Path, models_yaml: Path) -> None:
        before = models_yaml.stat()
        assert "my-model:7b:" in add(folder, models_yaml, write=False)
        assert models_yaml.stat() == before

    def test_a_file_without_a_last_line_end_gets_one(self, folder: Path, tmp_path: Path) -> None:
        file = tmp_path / "few.yaml"
        file.write_bytes(b"a:\r\n  hub: a/b")
        add(folder, file)
        assert file.read_bytes().startswith(b"a:\r\n  hub: a/b\n\n# Written by")
        assert load_models(file).keys() == {"a", "my-model:7b"}

    def test_a_link_stays_a_link_and_permissions_stay(
        self, folder: Path, models_yaml: Path, tmp_path: Path
    ) -> None:
        models_yaml.chmod(0o640)
        link = tmp_path / "link.yaml"
        link.symlink_to(models_yaml)
        add(folder, link)
        assert link.is_symlink()
        assert "my-model:7b" in load_models(models_yaml)
        assert models_yaml.stat().st_mode & 0o777 == 0o640

    def test_no_scratch_file_is_left(self, folder: Path, models_yaml: Path) -> None:
        add(folder, models_yaml)
        assert not list(models_yaml.parent.glob(".*"))

    @pytest.mark.parametrize("ending", ["...\n", "b: {hub: a/b,\n", "b: |\n"])
    def test_a_file_that_takes_no_more_is_left_as_it_was(
        self, folder: Path, tmp_path: Path, ending: str
    ) -> None:
        file = tmp_path / "odd.yaml"
        file.write_text("a: {hub: a/b}\n" + ending)
        refusal(folder, file)

    def test_a_relative_folder_stays_relative(
        self, folder: Path, models_yaml: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(folder.parent)
        assert f"  path: {folder.name}\n" in add(f"./{folder.name}/", models_yaml)


class TestNames:
    @pytest.mark.parametrize(
        ("place", "name"),
        [
            ("meta-llama/Llama-3.1-8B-Instruct", "llama3.1:8b"),
            ("meta-llama/Meta-Llama-3-8B-Instruct", "llama3:8b"),
            ("Qwen/Qwen2.5-0.5B-Instruct", "qwen2.5:0.5b"),
            ("Qwen/Qwen2.5-7B-Instruct-AWQ", "qwen2.5:7b-awq"),
            ("Qwen/Qwen3-30B-A3B", "qwen3:30b-a3b"),
            ("google/gemma-2-9b-it", "gemma2:9b"),
            ("mistralai/Mixtral-8x7B-Instruct-v0.1", "mixtral:8x7b"),
            ("mistralai/Mistral-Small-24B-Instruct-2501", "mistral-small:24b"),
            ("models/smollm2-135m-instruct", "smollm2:135m"),
            ("microsoft/phi-4", "phi-4"),
            ("microsoft/Phi-3.5-mini-instruct", "Phi-3.5-mini-instruct"),
            ("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", "DeepSeek-R1-Distill-Qwen-7B"),
        ],
    )
    def test_the_default_is_short_where_that_is_obvious(self, place: str, name: str) -> None:
        assert default_name(place) == name

    @pytest.mark.parametrize(
        ("name", "says"),
        [
            ("llama3.1:8b", "has a model `llama3.1:8b` already; pass --name"),
            ("Llama3.1-8B", "would share the file name Llama3.1-8B with `llama3.1:8b`"),
            ("x-mine", "`x-` marks what is no entry"),
            (" ", "cannot name a model"),
        ],
    )
    def test_a_name_that_is_taken_or_none(
        self, folder: Path, models_yaml: Path, name: str, says: str
    ) -> None:
        assert says in refusal(folder, models_yaml, name=name)

    def test_a_snapshot_in_the_cache_has_no_name(self, tmp_path: Path, models_yaml: Path) -> None:
        folder = write(tmp_path / commit(1), SMALL, llama(SMALL))
        assert "pass --name" in refusal(folder, models_yaml)

    @pytest.mark.parametrize(
        "name", ["yes", "7:30", "1e3", "a: b", "mine: #1", "ü\u2028\U0001f600"]
    )
    def test_any_name_is_read_as_it_was_given(
        self, folder: Path, models_yaml: Path, name: str
    ) -> None:
        add(folder, models_yaml, name=name)
        assert name in load_models(models_yaml)


def test_values_are_read_as_they_were_written() -> None:
    fields = {
        "revision": "1" * 40,
        "chat_template": "{{ a }}\n\t'\"\\ é\u2028",
        "chat_template_kwargs": {"strftime_now": "2026-11-25", "enable_thinking": False},
        "engine": {"limit_mm_per_prompt": {"image": 0}},
        "sampling": {"stop_token_ids": [107]},
    }
    text = entry_text("m", {**fields, "dtype": None, "empty": {}}, "why")
    assert yaml.safe_load(text) == {"m": fields}
    assert "  engine: {limit_mm_per_prompt: {image: 0}}\n" in text


class TestHub:
    @pytest.fixture(autouse=True)
    def cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """An empty Hugging Face cache, and no way to another machine."""
        from huggingface_hub import constants

        connect = socket.socket.connect

        def local(self: socket.socket, address: Any) -> None:
            assert isinstance(address, str) or address[0] == "127.0.0.1", f"connects to {address}"
            connect(self, address)

        monkeypatch.setattr(socket.socket, "connect", local)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        folder = tmp_path / "huggingface" / "hub"
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
        self.use(monkeypatch, "http://127.0.0.1:9")  # nobody listens there
        return folder

    def use(self, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
        from huggingface_hub import constants

        files = f"{url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)

    def files(self, tensors: Tensors | None = None, cut: int = 0) -> dict[str, str | bytes]:
        head, data = header(tensors or llama(SMALL))
        return {
            "config.json": json.dumps(SMALL),
            "tokenizer_config.json": json.dumps(TOKENIZER),
            "model.safetensors": head + bytes(data - cut),
            "README.md": "hello",
            "original/consolidated.00.pth": "pickle",
        }

    @pytest.fixture
    def served(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        with hub(self.files()) as url:
            self.use(monkeypatch, url)
            yield

    @pytest.mark.usefixtures("served")
    @pytest.mark.parametrize("revision", [None, "main", commit(1)])
    def test_an_entry_is_pinned_to_the_commit(
        self, models_yaml: Path, folder: Path, revision: str | None, cache: Path
    ) -> None:
        text = add("owner/Tiny-1B-Instruct", models_yaml, revision=revision)
        local = yaml.safe_load(add(folder, models_yaml, write=False))["my-model:7b"]
        entry = load_models(models_yaml)["tiny:1b"]
        assert entry["hub"] == "owner/Tiny-1B-Instruct"
        assert entry["revision"] == commit(1)
        assert {k: v for k, v in entry.items() if k in local} == {
            k: v for k, v in local.items() if k != "path"
        }
        assert text.startswith("# Written by `evalpack add owner/Tiny-1B-Instruct` on ")
        assert not list(cache.rglob("model.safetensors"))  # its header was read, no more

    def test_a_header_longer_than_the_first_look_is_read_whole(
        self, models_yaml: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tensors = llama(SMALL) | {f"model.extra.{i:0200}": ("BF16", (1,)) for i in range(1000)}
        assert len(header(tensors)[0]) > 100_000
        with hub(self.files(tensors)) as url:
            self.use(monkeypatch, url)
            text = add("owner/tiny", models_yaml)
        assert yaml.safe_load(text)["tiny"]["active_parameters"] == 106816 + 1000

    def test_a_file_that_was_uploaded_in_part_is_refused(
        self, models_yaml: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with hub(self.files(cut=100_000)) as url:
            self.use(monkeypatch, url)
            assert "model.safetensors is cut short" in refusal("owner/tiny", models_yaml)

    def test_a_file_that_is_none_is_refused(
        self, models_yaml: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with hub({**self.files(), "model.safetensors": "weights"}) as url:
            self.use(monkeypatch, url)
            assert "owner/tiny could not be read" in refusal("owner/tiny", models_yaml)

    @pytest.mark.parametrize(
        ("refuses", "says"),
        [
            ((403, "GatedRepo"), "owner/tiny is gated; accept its terms"),
            ((404, "RepoNotFound"), "there is no owner/tiny on the hub"),
            ((404, "RevisionNotFound"), "owner/tiny could not be read"),
        ],
    )
    def test_what_the_hub_refuses_is_said_in_a_sentence(
        self,
        models_yaml: Path,
        monkeypatch: pytest.MonkeyPatch,
        refuses: tuple[int, str],
        says: str,
    ) -> None:
        with hub(refuses=refuses) as url:
            self.use(monkeypatch, url)
            assert says in refusal("owner/tiny", models_yaml)

    def test_without_network_it_is_said_in_a_sentence(self, models_yaml: Path) -> None:
        assert "owner/tiny could not be read: " in refusal("owner/tiny", models_yaml)

    def test_without_network_what_is_staged_is_enough(
        self, models_yaml: Path, cache: Path, folder: Path
    ) -> None:
        texts = {n: (folder / n).read_text() for n in ("config.json", "tokenizer_config.json")}
        snapshot = cache_snapshot(cache, "owner/tiny", commit(2), texts)
        os.link(folder / "model.safetensors", snapshot / "model.safetensors")
        add("owner/tiny", models_yaml)
        entry = load_models(models_yaml)["tiny"]
        assert (entry["hub"], entry["revision"]) == ("owner/tiny", commit(2))
        assert "path" not in entry
