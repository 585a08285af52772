"""Where a checkpoint is read from: a folder on this machine, or a repository on the hub."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from evalpack import weights
from evalpack.checkpoint.tensors import Tensor, check_whole, read_header
from evalpack.errors import UserError
from evalpack.hub import refusals
from evalpack.models import Model

_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")


class Source(Protocol):
    """The files of a checkpoint, at its top level."""

    @property
    def name(self) -> str:
        """What errors call it: what the user typed."""

    @property
    def files(self) -> Mapping[str, int]:
        """Bytes of each file."""

    @property
    def place(self) -> dict[str, str]:
        """The keys of the entry that say where it is."""

    def text(self, file: str) -> str:
        """A small file's text."""

    def tensors(self, file: str) -> dict[str, Tensor]:
        """What the header of a safetensors file lists."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder on this machine."""

    name: str
    folder: Path
    files: Mapping[str, int]
    place: dict[str, str]

    def text(self, file: str) -> str:
        """A small file's text."""
        return (self.folder / file).read_text(encoding="utf-8")

    def tensors(self, file: str) -> dict[str, Tensor]:
        """What the header of a safetensors file lists."""
        return read_header(self.folder / file, self.name)


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository on the hub at one commit; of its weights the headers are fetched, no more."""

    name: str
    commit: str
    files: Mapping[str, int]

    @property
    def place(self) -> dict[str, str]:
        """The keys of the entry that say where it is."""
        return {"hub": self.name, "revision": self.commit}

    def text(self, file: str) -> str:
        """A small file's text; it goes into the Hugging Face cache, where a run needs it too."""
        from huggingface_hub import hf_hub_download

        with refusals(self.name, doing="read"):
            found = hf_hub_download(self.name, file, revision=self.commit)
        return Path(found).read_text(encoding="utf-8")

    def tensors(self, file: str) -> dict[str, Tensor]:
        """What the header of a safetensors file lists."""
        from huggingface_hub import HfApi

        with refusals(self.name, doing="read"):
            header = HfApi().parse_safetensors_file_metadata(self.name, file, revision=self.commit)
        tensors = {
            name: Tensor.from_header(str(t.dtype), t.shape, t.data_offsets)
            for name, t in header.tensors.items()
        }
        check_whole(tensors, file, self.files[file] - 8, self.name)
        return tensors


def open_source(source: str, revision: str | None) -> Source:
    """Find a checkpoint; a folder that exists goes before a hub id.

    Args:
        source: path of a folder, or owner/name.
        revision: commit, branch or tag of the hub repository; default: its default branch.

    Raises:
        UserError: if there is no such thing, or the hub does not give it.
    """
    folder = Path(source)
    if folder.is_dir():
        if revision is not None:
            raise UserError(f"{source} is a folder, which has no revision; leave --revision out")
        return _folder(source, folder, {"path": str(folder)})
    if folder.exists():
        raise UserError(f"{source} is a file; give the folder that holds config.json")
    if not _HUB_ID.fullmatch(source):
        raise UserError(f"{source} is neither a folder nor a hub id (owner/name)")
    try:
        return _repository(source, revision)
    except UserError:
        # Staged already: what a run would use is here, and the hub need not be asked.
        cached = weights.at_hand(Model(source, hub=source, revision=revision))
        if cached is None:
            raise
        return _folder(source, cached, {"hub": source, "revision": cached.name})


def read_json(source: Source, file: str) -> dict[str, Any] | None:
    """A JSON file's mapping, or None if there is no such file.

    Raises:
        UserError: if it is no mapping in JSON.
    """
    if file not in source.files:
        return None
    try:
        value = json.loads(source.text(file))
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UserError(f"{source.name}: {file} is damaged: not a mapping in JSON; fetch it again")
    return value


def _folder(name: str, folder: Path, place: dict[str, str]) -> Folder:
    files = {file.name: file.stat().st_size for file in folder.iterdir() if file.is_file()}
    return Folder(name, folder, files, place)


def _repository(hub: str, revision: str | None) -> Repository:
    from huggingface_hub import HfApi

    with refusals(hub, doing="read"):
        info = HfApi().model_info(hub, revision=revision, files_metadata=True)
    files = {s.rfilename: s.size or 0 for s in info.siblings or () if "/" not in s.rfilename}
    return Repository(hub, str(info.sha), files)
