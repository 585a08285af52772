"""Weights: what is at hand, what it is, and what is said when it is not there."""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from builders import checkpoint
from fake_hub import SNAPSHOT, cache_snapshot, commit, hub

from evalpack import weights
from evalpack.errors import UserError
from evalpack.models import Model

HUB = Model("big", hub="owner/big")


@pytest.fixture(autouse=True)
def only_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever connects to another machine fails loudly."""
    connect = socket.socket.connect

    def local(self: socket.socket, address: Any) -> None:
        assert isinstance(address, str) or address[0] == "127.0.0.1", f"connects to {address}"
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache; huggingface_hub reads HF_HOME once, at import."""
    from huggingface_hub import constants

    folder = tmp_path / "huggingface" / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    return folder


@pytest.fixture
def note(tmp_path: Path) -> Path:
    return tmp_path / "run" / "weights" / "model.json"


def local(folder: Path) -> Model:
    return Model("mine", path=str(folder))


def pinned(model: Model, revision: str) -> Model:
    return Model.from_mapping({**model.to_json(), "revision": revision})


def sentence(model: Model, note: Path) -> str:
    with pytest.raises(UserError) as caught:
        weights.record(model, note)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestLocalFolder:
    def test_a_complete_folder_is_at_hand(self, tmp_path: Path) -> None:
        folder = checkpoint(tmp_path / "m")
        assert weights.at_hand(local(folder)) == folder

    @pytest.mark.parametrize("lost", ["config.json", "model.safetensors"])
    def test_without_config_or_weights_it_is_not(self, tmp_path: Path, lost: str) -> None:
        folder = checkpoint(tmp_path / "m")
        (folder / lost).unlink()
        assert weights.at_hand(local(folder)) is None

    def test_a_folder_that_is_not_there_is_not_at_hand(self, tmp_path: Path) -> None:
        assert weights.at_hand(local(tmp_path / "none")) is None
        assert weights.fingerprint(local(tmp_path / "none"))

    @pytest.mark.parametrize(
        ("index", "complete"),
        [
            ({"weight_map": {"a": "model.safetensors"}}, True),
            ({"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}, False),
            ({"weight_map": {}}, False),
            ({}, False),
        ],
    )
    def test_every_file_that_the_index_names_must_be_there(
        self, tmp_path: Path, index: dict[str, Any], complete: bool
    ) -> None:
        folder = checkpoint(tmp_path / "m")
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        assert (weights.at_hand(local(folder)) is not None) is complete

    def test_a_torn_index_is_incomplete(self, tmp_path: Path) -> None:
        folder = checkpoint(tmp_path / "m")
        (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": ')
        assert weights.at_hand(local(folder)) is None

    def test_every_file_that_an_engine_reads_is_described(self, tmp_path: Path, note: Path) -> None:
        folder = checkpoint(tmp_path / "m", "tensors")
        for unread in ("pytorch_model.bin", "consolidated.safetensors", "README.md"):
            (folder / unread).write_text("x")
        found = weights.record(local(folder), note)
        assert [f["name"] for f in found.files] == [
            "config.json",
            "model.safetensors",
            "tokenizer_config.json",
        ]
        tensors = found.files[1]
        assert tensors["size"] == 7
        assert tensors["sha256"] == hashlib.sha256(b"tensors").hexdigest()
        assert tensors["mtime"] == (folder / "model.safetensors").stat().st_mtime
        assert (found.folder, found.commit) == (str(folder), None)
        written = json.loads(note.read_text())
        assert written["files"] == list(found.files)
        assert written["schema_version"] == 1

    def test_the_identity_is_of_the_contents_not_of_place_or_time(self, tmp_path: Path) -> None:
        one, same, other = (
            checkpoint(tmp_path / name, content)
            for name, content in (("one", "a"), ("same", "a"), ("other", "b"))
        )
        os.utime(same / "config.json", (0, 0))
        identities = [
            weights.locate(local(folder), tmp_path / f"{folder.name}.json")[1]
            for folder in (one, same, other)
        ]
        assert identities[0] == identities[1] != identities[2]

    def test_the_template_has_a_digest_of_its_own(self, tmp_path: Path, note: Path) -> None:
        folder = checkpoint(tmp_path / "m")
        before = weights.record(local(folder), note)
        (folder / "config.json").write_text('{"a": 1}')
        with_config = weights.record(local(folder), note)
        (folder / "chat_template.jinja").write_text("{{ messages[0] }}")
        with_template = weights.record(local(folder), note)
        assert before.template_digest == with_config.template_digest
        assert with_template.template_digest != before.template_digest

    def test_digests_are_kept_while_size_and_time_are(self, tmp_path: Path, note: Path) -> None:
        """Reading 140 GB again takes minutes; so a file is read again only if it changed."""
        folder = checkpoint(tmp_path / "m", "aaa")
        file = folder / "model.safetensors"
        first = weights.record(local(folder), note)
        stat = file.stat()
        file.write_text("bbb")
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert weights.record(local(folder), note).identity == first.identity
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000_000))
        changed = weights.record(local(folder), note)
        assert changed.files[1]["sha256"] == hashlib.sha256(b"bbb").hexdigest()
        assert changed.identity != first.identity

    def test_a_note_that_still_holds_is_not_written_again(self, tmp_path: Path, note: Path) -> None:
        folder = checkpoint(tmp_path / "m")
        weights.record(local(folder), note)
        before = note.stat()
        weights.record(local(folder), note)
        assert note.stat().st_mtime_ns == before.st_mtime_ns
        assert note.stat().st_ino == before.st_ino

    def test_a_torn_note_is_made_anew(self, tmp_path: Path, note: Path) -> None:
        note.parent.mkdir(parents=True)
        note.write_text('{"files": [')
        found = weights.record(local(checkpoint(tmp_path / "m")), note)
        assert json.loads(note.read_text())["identity"] == found.identity

    def test_the_fingerprint_tells_a_change_without_reading(self, tmp_path: Path) -> None:
        folder = checkpoint(tmp_path / "m")
        before = weights.fingerprint(local(folder))
        assert weights.fingerprint(local(folder)) == before
        (folder / "README.md").write_text("an engine does not read it")
        assert weights.fingerprint(local(folder)) == before
        os.utime(folder / "model.safetensors", (1, 1))
        assert weights.fingerprint(local(folder)) != before

    def test_a_folder_that_is_incomplete_is_named_with_the_key(
        self, tmp_path: Path, note: Path
    ) -> None:
        said = sentence(local(tmp_path / "none"), note)
        assert said.startswith(f"mine: {tmp_path / 'none'} holds no complete checkpoint")
        assert "correct `path` in its entry" in said
        assert "make demo" not in said
        assert not note.exists()
        assert "make demo" in sentence(Model("s", path="models/smollm2-135m"), note)

    def test_a_local_folder_is_never_fetched(self, tmp_path: Path, note: Path) -> None:
        with pytest.raises(UserError, match="holds no complete checkpoint"):
            weights.fetch(local(tmp_path / "none"))
        weights.stage(local(tmp_path / "none"), note)
        assert "holds no complete checkpoint" in weights.failures([note])[0]


class TestLocate:
    def test_files_that_are_there_have_a_folder_and_no_error(
        self, tmp_path: Path, note: Path
    ) -> None:
        folder = checkpoint(tmp_path / "m")
        identity = weights.record(local(folder), note).identity
        assert weights.locate(local(folder), note) == (str(folder), identity, None)

    def test_files_that_never_were_there_are_an_error_to_try_again(
        self, tmp_path: Path, note: Path
    ) -> None:
        model = local(tmp_path / "none")
        folder, identity, error = weights.locate(model, note)
        assert (folder, identity) == (None, str(tmp_path / "none"))
        assert error is not None
        assert (error.type, error.permanent) == ("WeightsMissing", False)
        assert error.message == sentence(model, note)
        assert not note.exists()

    def test_the_identity_holds_when_the_files_are_gone(self, tmp_path: Path, note: Path) -> None:
        folder = checkpoint(tmp_path / "m")
        before = weights.record(local(folder), note).identity
        shutil.rmtree(folder)
        found, identity, error = weights.locate(local(folder), note)
        assert (found, identity) == (None, before)
        assert error is not None

    def test_it_holds_also_when_they_could_not_be_staged_again(
        self, tmp_path: Path, note: Path
    ) -> None:
        folder = checkpoint(tmp_path / "m")
        before = weights.record(local(folder), note).identity
        shutil.rmtree(folder)
        weights.stage(local(folder), note)
        assert weights.locate(local(folder), note)[1] == before

    def test_the_identity_of_another_folder_is_not_taken(self, tmp_path: Path, note: Path) -> None:
        weights.record(local(checkpoint(tmp_path / "m")), note)
        other = local(tmp_path / "other")
        assert weights.locate(other, note)[1] == str(tmp_path / "other")

    def test_the_error_says_why_staging_failed(self, tmp_path: Path, note: Path) -> None:
        note.parent.mkdir(parents=True)
        model = local(tmp_path / "none")
        note.write_text(json.dumps({"source": model.path, "error": "mine: the disk was full"}))
        _, _, error = weights.locate(model, note)
        assert error is not None
        assert error.message == "mine: the disk was full"


class TestCache:
    def test_a_snapshot_in_the_cache_is_at_hand(self, cache: Path) -> None:
        assert weights.at_hand(HUB) is None
        snapshot = cache_snapshot(cache, "owner/big", commit(1))
        assert weights.at_hand(HUB) == snapshot
        assert weights.at_hand(pinned(HUB, commit(1))) == snapshot
        assert weights.at_hand(pinned(HUB, commit(2))) is None
        assert weights.at_hand(pinned(HUB, "other-branch")) is None

    def test_a_snapshot_that_lacks_a_file_of_its_index_is_not(self, cache: Path) -> None:
        index = json.dumps({"weight_map": {"a": "model.safetensors", "b": "rest.safetensors"}})
        files = {**SNAPSHOT, "model.safetensors.index.json": index}
        cache_snapshot(cache, "owner/big", commit(1), files)
        assert weights.at_hand(HUB) is None

    def test_a_link_to_a_blob_that_is_gone_is_not_a_file(self, cache: Path) -> None:
        snapshot = cache_snapshot(cache, "owner/big", commit(1))
        (snapshot / "model.safetensors").resolve().unlink()
        (snapshot / "config.json").resolve().unlink()
        assert weights.at_hand(HUB) is None

    def test_the_commit_is_the_identity(self, cache: Path, note: Path) -> None:
        snapshot = cache_snapshot(cache, "owner/big", commit(1))
        assert weights.locate(HUB, note) == (str(snapshot), f"owner/big@{commit(1)}", None)
        written = json.loads(note.read_text())
        assert (written["commit"], written["source"]) == (commit(1), "owner/big@None")

    def test_large_files_are_not_read_since_their_blobs_are_named_by_digest(
        self, cache: Path, note: Path
    ) -> None:
        snapshot = cache_snapshot(cache, "owner/big", commit(1))
        (snapshot / "model.safetensors").resolve().write_text("something else")
        described = {f["name"]: f["sha256"] for f in weights.record(HUB, note).files}
        assert described["model.safetensors"] == hashlib.sha256(b"weights").hexdigest()

    def test_a_branch_is_pinned_by_the_first_record(self, cache: Path, note: Path) -> None:
        cache_snapshot(cache, "owner/big", commit(1))
        first = weights.record(HUB, note)
        cache_snapshot(cache, "owner/big", commit(2))
        assert weights.record(HUB, note) == first
        another_run = note.with_name("another.json")
        assert weights.record(HUB, another_run).commit == commit(2)

    def test_a_revision_that_is_changed_in_the_entry_unpins(self, cache: Path, note: Path) -> None:
        cache_snapshot(cache, "owner/big", commit(1))
        weights.record(HUB, note)
        cache_snapshot(cache, "owner/big", commit(2), branch=None)
        assert weights.record(pinned(HUB, commit(2)), note).commit == commit(2)

    def test_the_fingerprint_is_the_revision(self) -> None:
        assert weights.fingerprint(pinned(HUB, "v1")) == "owner/big@v1"

    def test_missing_weights_name_the_command_that_fetches_them(
        self, cache: Path, note: Path
    ) -> None:
        said = sentence(HUB, note)
        assert said == (
            "big: the weights of owner/big are not on this machine; run `snakemake stage`"
        )

    def test_hf_home_is_where_it_is_looked_for(self, tmp_path: Path) -> None:
        snapshot = cache_snapshot(tmp_path / "home" / "hub", "owner/big", commit(1))
        code = "from evalpack import weights; from evalpack.models import Model; "
        code += "print(weights.at_hand(Model('big', hub='owner/big')))"
        env = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGINGFACE_"))}
        env |= {"HF_HOME": str(tmp_path / "home")}
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == str(snapshot)

    def test_files_that_no_engine_reads_need_not_be_in_the_cache(self, cache: Path) -> None:
        snapshot = cache_snapshot(cache, "owner/big", commit(1))
        listed = {name: {"size": 1, "blob_id": "0" * 40} for name in (*SNAPSHOT, "README.md")}
        trees = snapshot.parents[1] / "trees"
        trees.mkdir()
        listing = {"format_version": 1, "files": listed}
        (trees / f"{commit(1)}.json").write_text(json.dumps(listing))
        assert weights.at_hand(HUB) == snapshot


class TestStage:
    @pytest.fixture(autouse=True)
    def _cache(self, cache: Path) -> None:
        """Every test has a cache of its own."""

    def use(self, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
        from huggingface_hub import constants

        files = f"{url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)

    def stage(
        self, monkeypatch: pytest.MonkeyPatch, url: str, note: Path, model: Model = HUB
    ) -> weights.Weights:
        """Stage from the hub at `url`, which must succeed."""
        self.use(monkeypatch, url)
        weights.stage(model, note)
        assert weights.failures([note]) == []
        return weights.record(model, note)

    def refusal(self, monkeypatch: pytest.MonkeyPatch, url: str, note: Path) -> str:
        """Why the hub at `url` gives no files: what `fetch` raises, and what `stage` notes."""
        self.use(monkeypatch, url)
        with pytest.raises(UserError) as caught:
            weights.fetch(HUB)
        weights.stage(HUB, note)
        said = str(caught.value)
        assert weights.failures([note]) == [said]
        assert said.startswith("big: ")
        assert "\n" not in said
        return said

    def test_what_is_missing_is_fetched_and_described(
        self, monkeypatch: pytest.MonkeyPatch, note: Path
    ) -> None:
        with hub() as url:
            found = self.stage(monkeypatch, url, note, pinned(HUB, commit(1)))
        assert found.commit == commit(1)
        assert {f["name"] for f in found.files} == set(SNAPSHOT)
        assert (Path(found.folder) / "model.safetensors").read_text() == "weights"

    def test_a_repository_with_other_files_is_fetched_without_them(
        self, monkeypatch: pytest.MonkeyPatch, note: Path
    ) -> None:
        others = {"README.md": "hello", "pytorch_model.bin": "pickle", ".gitattributes": "x"}
        with hub({**SNAPSHOT, **others}) as url:
            found = self.stage(monkeypatch, url, note, pinned(HUB, commit(1)))
        assert {f["name"] for f in found.files} == set(SNAPSHOT)
        assert not (Path(found.folder) / "pytorch_model.bin").exists()

    @pytest.mark.parametrize("revision", [None, "main"])
    def test_a_branch_is_fetched_and_resolved(
        self, monkeypatch: pytest.MonkeyPatch, note: Path, revision: str | None
    ) -> None:
        model = HUB if revision is None else pinned(HUB, revision)
        with hub() as url:
            assert self.stage(monkeypatch, url, note, model).commit == commit(1)

    def test_what_is_at_hand_is_not_fetched(self, cache: Path, note: Path) -> None:
        cache_snapshot(cache, "owner/big", commit(1))
        weights.stage(HUB, note)
        assert weights.record(HUB, note).commit == commit(1)

    @pytest.mark.parametrize(
        ("refuses", "says"),
        [
            (
                (403, "GatedRepo"),
                "owner/big is gated; accept its terms on its page and set HF_TOKEN",
            ),
            ((404, "RepoNotFound"), "there is no owner/big on the hub"),
            ((404, "RevisionNotFound"), "owner/big could not be downloaded"),
            ((500, ""), "owner/big could not be downloaded"),
        ],
    )
    def test_what_the_hub_refuses_is_said_in_a_sentence(
        self, monkeypatch: pytest.MonkeyPatch, note: Path, refuses: tuple[int, str], says: str
    ) -> None:
        with hub(refuses=refuses) as url:
            assert says in self.refusal(monkeypatch, url, note)

    def test_a_pickle_checkpoint_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, note: Path
    ) -> None:
        files = {"config.json": "{}", "pytorch_model.bin": "pickle"}
        with hub(files) as url:
            assert "has no safetensors; pickle" in self.refusal(monkeypatch, url, note)

    def test_a_full_disk_is_told_before_the_first_byte(
        self, monkeypatch: pytest.MonkeyPatch, note: Path, cache: Path
    ) -> None:
        usage = shutil.disk_usage("/")._replace(free=3)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
        with hub() as url:
            assert "make room, or set HF_HOME" in self.refusal(monkeypatch, url, note)
        assert not list(cache.rglob("*.safetensors"))

    def test_without_network_it_is_said_in_a_sentence(
        self, monkeypatch: pytest.MonkeyPatch, note: Path
    ) -> None:
        said = self.refusal(monkeypatch, "http://127.0.0.1:9", note)
        assert said.startswith("big: owner/big could not be downloaded: ")

    def test_what_is_fetched_is_the_commit_that_is_asked_for(
        self, monkeypatch: pytest.MonkeyPatch, cache: Path
    ) -> None:
        with hub(sha=commit(3)) as url:
            self.use(monkeypatch, url)
            assert weights.fetch(HUB) == commit(3)
        assert (cache / "models--owner--big" / "snapshots" / commit(3)).is_dir()

    def test_a_failure_is_noted_with_its_attempt_for_the_next_to_count(self, note: Path) -> None:
        assert weights.attempts(HUB, note) == 0
        for attempt in range(3):
            weights.stage(HUB, note)
            noted = json.loads(note.read_text())
            assert (noted["model"], noted["source"]) == ("big", "owner/big@None")
            assert noted["attempt"] == attempt
            assert weights.attempts(HUB, note) == attempt + 1

    def test_a_success_after_a_failure_leaves_no_trace_of_it(
        self, monkeypatch: pytest.MonkeyPatch, note: Path
    ) -> None:
        weights.stage(HUB, note)
        assert len(weights.failures([note])) == 1
        with hub() as url:
            self.stage(monkeypatch, url, note)
        assert "error" not in json.loads(note.read_text())
        assert weights.attempts(HUB, note) == 0
        assert weights.locate(HUB, note)[2] is None

    def test_weights_that_went_are_staged_again(self, cache: Path, note: Path) -> None:
        snapshot = cache_snapshot(cache, "owner/big", commit(1))
        weights.stage(HUB, note)
        assert weights.attempts(HUB, note) == 0
        shutil.rmtree(snapshot)
        assert weights.attempts(HUB, note) == 1

    def test_failures_are_those_of_the_models_that_have_one(
        self, tmp_path: Path, note: Path
    ) -> None:
        fine = note.with_name("fine.json")
        weights.stage(local(checkpoint(tmp_path / "m")), fine)
        weights.stage(HUB, note)
        found = weights.failures([fine, note, note.with_name("never staged.json")])
        assert [said.partition(":")[0] for said in found] == ["big"]

    def test_staging_never_answers_that_one_should_stage(
        self, monkeypatch: pytest.MonkeyPatch, cache: Path, note: Path
    ) -> None:
        """The pinned snapshot was deleted from the cache, the branch has moved on."""
        gone = cache_snapshot(cache, "owner/big", commit(1))
        weights.record(HUB, note)
        shutil.rmtree(gone)
        cache_snapshot(cache, "owner/big", commit(2))
        with hub(sha=commit(1)) as url:
            assert self.stage(monkeypatch, url, note).commit == commit(1)


def test_a_server_elsewhere_has_no_folder_here(note: Path) -> None:
    model = Model("gpt", backend="openai", base_url="http://h/v1", served_model="real")
    assert weights.locate(model, note) == (None, "http://h/v1#real", None)
    assert weights.fingerprint(model) == "http://h/v1#real"
    assert weights.at_hand(model) is None
    assert not note.exists()


def test_files_that_two_models_share_are_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = checkpoint(tmp_path / "shared")
    notes = tmp_path / "weights"
    first = weights.record(local(folder), notes / "a.json")
    monkeypatch.setattr(weights, "_sha256", lambda file: pytest.fail(f"{file} is read again"))
    second = weights.record(local(folder), notes / "b.json")
    assert second.identity == first.identity
    assert second.files == first.files
