"""Weights: where a model's files are, what they are, and how they get there.

What is found is written to `<run>/weights/<slug>.json`: the resolved commit, and every file with
its size, time and SHA-256. The identity of the weights (the commit, or a digest of the files of a
local folder) enters every key.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evalpack import keys
from evalpack.atomic import read_json, write_json
from evalpack.clock import utc_now
from evalpack.engines.base import AnswerError
from evalpack.errors import UserError
from evalpack.hub import refusals, wanted
from evalpack.models import Model

SCHEMA_VERSION = 1
_TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json", "tokenizer_config.json")


@dataclass(frozen=True, slots=True)
class Weights:
    """A model's files on this machine."""

    model: str
    source: str
    folder: str
    identity: str
    commit: str | None
    template_digest: str | None
    files: tuple[dict[str, Any], ...]


def locate(model: Model, path: Path) -> tuple[str | None, str, AnswerError | None]:
    """Folder and identity of a model's weights, and why there is no folder.

    The identity holds also when the files are gone: what was answered stands. A server elsewhere
    has no folder here, and no error.

    Args:
        model: the model.
        path: `<run>/weights/<slug>.json`, read and written (see `record`).
    """
    if model.backend == "openai":
        return None, _endpoint(model), None
    try:
        found = record(model, path)
    except UserError as error:
        before = read_json(path, default={})
        known = before.get("identity") if before.get("source") == _source(model) else None
        reason = str(before.get("error") or error)
        return None, known or _source(model), AnswerError("WeightsMissing", reason, permanent=False)
    return found.folder, found.identity, None


def at_hand(model: Model, commit: str | None = None) -> Path | None:
    """The folder of a model's complete files on this machine, or None if they must be fetched.

    Looks at the local folder or the Hugging Face cache; never at the network.

    Args:
        model: the model.
        commit: what its branch was resolved to, if it was.
    """
    if model.path is not None:
        folder = Path(model.path)
        return folder if _is_complete(folder) else None
    if model.hub is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(model.hub, "config.json", revision=commit or model.revision)
    return (
        Path(found).parent if isinstance(found, str) and _is_complete(Path(found).parent) else None
    )


def fingerprint(model: Model) -> str:
    """A cheap stand-in for the identity, known before anything is staged or read.

    For a local folder: names, sizes and times of its files; for a hub model its revision.
    """
    if model.backend == "openai":
        return _endpoint(model)
    if model.path is not None:
        folder = Path(model.path)
        return keys.digest([[f.name, s.st_size, s.st_mtime_ns] for f, s in _stats(folder)])
    return f"{model.hub}@{model.revision}"


def record(model: Model, path: Path, commit: str | None = None) -> Weights:
    """Describe files that are at hand, reusing the digests of files that did not change.

    Args:
        model: the model.
        path: `<run>/weights/<slug>.json`, read and written.
        commit: what the model's branch was resolved to, if it was; default: what `path` says.

    Raises:
        UserError: if the files are not there, naming the command that fetches them.
    """
    before = read_json(path, default={})
    folder = at_hand(model, commit or _pinned(model, before))
    if folder is None:
        raise UserError(_missing(model))
    known = _known_digests(before, folder, path.parent)
    files = tuple(
        {
            "name": file.name,
            "size": stat.st_size,
            "mtime": stat.st_mtime,
            "sha256": known.get((file.name, stat.st_size, stat.st_mtime)) or _sha256(file),
        }
        for file, stat in _stats(folder)
    )
    digests = {file["name"]: file["sha256"] for file in files}
    commit = folder.name if model.hub is not None else None
    templates = [digests[name] for name in _TEMPLATE_FILES if name in digests]
    found = Weights(
        model=model.name,
        source=_source(model),
        folder=str(folder),
        identity=f"{model.hub}@{commit}" if commit else keys.digest(digests),
        commit=commit,
        template_digest=keys.digest(templates) if templates else None,
        files=files,
    )
    described = json.loads(json.dumps(asdict(found)))
    if {k: v for k, v in before.items() if k not in ("schema_version", "staged")} != described:
        write_json(path, {"schema_version": SCHEMA_VERSION, "staged": utc_now(), **described})
    return found


def _known_digests(
    before: dict[str, Any], folder: Path, notes: Path
) -> dict[tuple[str, int, float], str]:
    """Digests of files, by name, size and time: the model's own, and those of others in its folder.

    Two models may share their files (one asked with and one without sampling, say), and reading
    them once more takes a minute for a large one.
    """
    known: dict[tuple[str, int, float], str] = {}
    others = (read_json(note, default={}) for note in sorted(notes.glob("*.json")))
    shared = (other for other in others if other.get("folder") == str(folder))
    for note in (*shared, before):
        for file in note.get("files", ()):
            known[file["name"], file["size"], file["mtime"]] = file["sha256"]
    return known


def stage(model: Model, path: Path) -> None:
    """Fetch a model's files if they are not on this machine, and describe them (see `record`).

    Where that fails, the file says why (`error`): the other models go on, and this one's rows will
    name the reason.
    """
    before = read_json(path, default={})
    commit = _pinned(model, before)
    try:
        if at_hand(model, commit) is None:
            commit = fetch(model, commit)
        record(model, path, commit)
    except UserError as error:
        print(f"error: {error}", flush=True)
        tried = {"source": _source(model), "attempt": attempts(model, path), "error": str(error)}
        # What was known of the weights stays known: answers made with them stand.
        known = before if before.get("source") == _source(model) else {}
        write_json(path, {**known, "schema_version": SCHEMA_VERSION, "model": model.name, **tried})


def attempts(model: Model, path: Path) -> int:
    """0 for weights that are there or were never staged, else one more than the last attempt."""
    before = read_json(path)
    if before is None or ("error" not in before and at_hand(model, _pinned(model, before))):
        return 0
    return int(before.get("attempt", 0)) + 1


def failures(paths: Iterable[Path]) -> list[str]:
    """Why models could not be staged, a sentence each."""
    found = (read_json(path, default={}).get("error") for path in paths)
    return [reason for reason in found if reason]


def fetch(model: Model, commit: str | None = None) -> str:
    """Download a hub model's files into the Hugging Face cache, after a look at the free disk.

    Args:
        model: the model.
        commit: the commit to fetch; default: what the model's revision is now.

    Returns:
        The commit.

    Raises:
        UserError: for a gated or unknown repository, a full disk, no network, a pickle checkpoint.
    """
    if model.hub is None:
        raise UserError(_missing(model))
    with refusals(model.hub, prefix=f"{model.name}: "):
        return _download(model, model.hub, commit or model.revision)


def _download(model: Model, hub: str, revision: str | None) -> str:
    from huggingface_hub import HfApi, constants, snapshot_download

    info = HfApi().model_info(hub, revision=revision, files_metadata=True)
    sizes = {s.rfilename: s.size or 0 for s in info.siblings or () if wanted(s.rfilename)}
    if not any(name.endswith(".safetensors") for name in sizes):
        raise UserError(
            f"{model.name}: {hub} has no safetensors; pickle checkpoints are not loaded"
        )
    needed = sum(sizes.values())
    cache = Path(constants.HF_HUB_CACHE)
    cache.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache).free
    if needed > free:
        raise UserError(
            f"{model.name}: {needed / 1e9:.1f} GB to download, {free / 1e9:.1f} GB free in {cache};"
            " make room, or set HF_HOME to a larger disk"
        )
    snapshot_download(hub, revision=info.sha, allow_patterns=list(sizes))
    return str(info.sha)


def _endpoint(model: Model) -> str:
    return f"{model.base_url}#{model.served_model or model.name}"


def _pinned(model: Model, before: dict[str, Any]) -> str | None:
    """The commit that an earlier look found: a branch is resolved once a run."""
    return before.get("commit") if before.get("source") == _source(model) else None


def _source(model: Model) -> str:
    return model.path or f"{model.hub}@{model.revision}"


def _missing(model: Model) -> str:
    if model.path is not None:
        return (
            f"{model.name}: {model.path} holds no complete checkpoint (config.json and safetensors);"
            " correct `path` in its entry, or put the files there"
            + (" (`make demo` does)" if "smollm2" in model.path else "")
        )
    return (
        f"{model.name}: the weights of {model.hub} are not on this machine; run `snakemake stage`"
    )


def _stats(folder: Path) -> Iterator[tuple[Path, Any]]:
    if folder.is_dir():
        for file in sorted(folder.iterdir()):
            if file.is_file() and wanted(file.name):
                yield file, file.stat()


def _is_complete(folder: Path) -> bool:
    """Whether config.json and every file that the safetensors index names are there."""
    if not (folder / "config.json").is_file():
        return False
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = set((read_json(index, default={}).get("weight_map") or {"?": "?"}).values())
        return all((folder / name).is_file() for name in names)
    parts = [path.name for path in folder.glob("*.safetensors")]
    # Parts without their index: a download that was cut off.
    return bool(parts) and not any(re.search(r"-\d+-of-\d+\.", part) for part in parts)


def _sha256(file: Path) -> str:
    blob = file.resolve().name  # in the Hugging Face cache, large files are named by their digest
    if file.is_symlink() and len(blob) == 64:
        return blob
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
