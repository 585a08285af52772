"""One checkpoint becomes one entry of models.yaml."""

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from evalpack.atomic import replacing
from evalpack.checkpoint.entry import default_name, entry_text
from evalpack.checkpoint.parameters import count_parameters
from evalpack.checkpoint.quantization import read_quantization
from evalpack.checkpoint.refusals import read_config, refuse_unfit, text_part
from evalpack.checkpoint.shape import read_shape
from evalpack.checkpoint.source import Source, open_source
from evalpack.checkpoint.stored import read_stored
from evalpack.checkpoint.talk import read_talk
from evalpack.clock import utc_now
from evalpack.errors import UserError
from evalpack.lineup import Lineup, load_models
from evalpack.names import slug

# The repository holds every weight twice, the other time in Mistral's own format.
_HF_OF_TWO = {"tokenizer_mode": "hf", "config_format": "hf", "load_format": "safetensors"}


def add_model(
    source: str, *, name: str | None, revision: str | None, models_yaml: Path, write: bool
) -> str:
    """Describe a checkpoint as an entry, and append it to models.yaml.

    Args:
        source: a local folder, or a repository on the hub (owner/name).
        name: the entry's name; default: made of the folder's or repository's.
        revision: commit, branch or tag on the hub; the commit that it is now is written.
        models_yaml: the file.
        write: whether to write; the entry is checked in either case.

    Returns:
        The entry's text.

    Raises:
        UserError: one sentence, if the source is not understood or the name is taken. The file is
            then as it was.
    """
    known = load_models(models_yaml)
    called = name or _name_of(source)
    _check_name(called, known, models_yaml)
    day = utc_now()[:10]
    fields, notes = describe(open_source(source, revision), day)
    comment = f"Written by `evalpack add {' '.join(source.split())}` on {day}."
    text = entry_text(called, fields, comment, notes)
    content = _with_entry(models_yaml, text, called)
    if write:
        _replace(models_yaml, content)
    return text


def describe(source: Source, day: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The keys of a checkpoint's entry, in their order, and remarks on some of them.

    Args:
        source: the checkpoint.
        day: `YYYY-MM-DD`, for templates that ask for the date.

    Raises:
        UserError: one sentence on what is not understood.
    """
    try:
        return _described(source, day)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # The files are anybody's: a list where all others have a mapping is no fault of ours.
        raise UserError(
            f"{source.name}: its JSON files hold values of another kind than expected ({error});"
            " write the entry by hand"
        ) from error


def _described(source: Source, day: str) -> tuple[dict[str, Any], dict[str, str]]:
    config = read_config(source)
    refuse_unfit(source, config)
    text = text_part(config)
    for key in ("dtype", "torch_dtype", "quantization_config"):  # these may stand outside of it
        if text.get(key) is None and config.get(key) is not None:
            text[key] = config[key]
    stored = read_stored(source)
    quantization = read_quantization(source, text)
    shape = read_shape(source, text, stored, quantization)
    tied = text.get("tie_word_embeddings", config.get("tie_word_embeddings")) is True
    parameters = count_parameters(
        source, text, stored, quantization, layers=shape.layers, tied=tied
    )
    talk = read_talk(source, config, day)
    fields = {
        **source.place,
        "weight_bytes": stored.size,
        "layers": shape.layers,
        "attention_heads": shape.attention_heads,
        "kv_heads": shape.kv_heads,
        "head_size": shape.head_size,
        "hidden_size": shape.hidden_size,
        "active_parameters": parameters.active,
        "experts": parameters.experts,
        "experts_per_token": parameters.experts_per_token,
        "context_length": shape.context_length,
        "dtype": shape.dtype if shape.dtype != "bfloat16" else None,
        "quantization": quantization.method,
        "kv_cache_bytes": 4 if shape.dtype == "float32" else None,
        "format": talk.format if talk.format != "chat" else None,
        "chat_template": talk.chat_template,
        "chat_template_kwargs": talk.chat_template_kwargs,
        "system_role": talk.system_role if talk.system_role != "native" else None,
        "engine": _engine(source, config),
        "sampling": talk.sampling,
    }
    notes = {}
    if stored.claimed not in (None, stored.size):
        notes["weight_bytes"] = f"of the tensors; their index says {stored.claimed}"
    return fields, notes


def _engine(source: Source, config: dict[str, Any]) -> dict[str, Any]:
    engine: dict[str, Any] = {}
    if "params.json" in source.files and any(f.startswith("consolidated") for f in source.files):
        engine |= _HF_OF_TWO
    senses = {"image": "vision_config", "video": "video_token_id", "audio": "audio_config"}
    spared = {sense: 0 for sense, key in senses.items() if config.get(key) is not None}
    if spared:  # text never uses them, and their memory is not to be profiled
        engine["limit_mm_per_prompt"] = spared
    return engine


def _name_of(source: str) -> str:
    folder = Path(source)
    found = default_name(str(folder.resolve()) if folder.is_dir() else source)
    if re.fullmatch("[0-9a-f]{40}", found):  # a snapshot in the Hugging Face cache
        raise UserError(f"{source} is named by its commit; pass --name")
    return found


def _check_name(name: str, known: dict[str, Any], models_yaml: Path) -> None:
    if not name.strip() or name.startswith("x-"):
        raise UserError(f"`{name}` cannot name a model (`x-` marks what is no entry); pass --name")
    if name in known:
        raise UserError(
            f"{models_yaml} has a model `{name}` already; pass --name with another name"
        )
    taken = {slug(str(other)).lower(): other for other in known}
    if (other := taken.get(slug(name).lower())) is not None:
        raise UserError(
            f"`{name}` would share the file name {slug(name)} with `{other}` of {models_yaml};"
            " pass --name with another name"
        )


def _with_entry(file: Path, text: str, name: str) -> bytes:
    """The file's content with the entry at its end, if a run can read it there."""
    before = file.read_bytes()
    content = before + (b"\n" if before.endswith(b"\n") else b"\n\n") + text.encode()
    unfit = f"the new entry does not fit into {file}, which is left as it was"
    with tempfile.TemporaryDirectory() as folder:
        tried = Path(folder) / file.name
        tried.write_bytes(content)
        try:
            Lineup(tried, {"backend": "vllm"}, str(file)).resolve(name)
            others = load_models(tried)
        except UserError as error:
            raise UserError(f"{unfit}: {error}") from None
    if {known: entry for known, entry in others.items() if known != name} != load_models(file):
        raise UserError(f"{unfit}: the entries before it would read differently")
    return content


def _replace(file: Path, content: bytes) -> None:
    file = file.resolve()  # a link stays a link
    with replacing(file) as scratch:
        scratch.write_bytes(content)
        shutil.copymode(file, scratch)
