"""An entry of models.yaml as text, in the style of those that are there."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import yaml

# A family, its version, a size, what it was trained for, a version of that, and its quantisation.
_OBVIOUS = re.compile(
    r"(?:meta-)?(?P<family>[a-z]+)-?(?P<version>\d[\d.]*)?(?P<more>(?:-[a-z]+)*)"
    r"-(?P<size>[\d.]+(?:x[\d.]+)?[bm](?:-a[\d.]+b)?)(?:-(?:instruct|chat|it))?(?:-hf)?"
    r"(?:-v[\d.]+|-\d{4})?(?P<packed>-(?:awq|fp8|gptq|gptq-int[48]))?"
)
_PLAIN = re.compile(r"[A-Za-z0-9./_][A-Za-z0-9._:/-]*")


def default_name(place: str) -> str:
    """A name for what a folder or repository is called.

    >>> default_name("Qwen/Qwen2.5-7B-Instruct")
    'qwen2.5:7b'
    >>> default_name("microsoft/Phi-3.5-mini-instruct")
    'Phi-3.5-mini-instruct'
    """
    name = place.rstrip("/").rpartition("/")[2]
    found = _OBVIOUS.fullmatch(name.lower())
    if not found:
        return name
    family = f"{found['family']}{found['version'] or ''}{found['more']}"
    return f"{family}:{found['size']}{found['packed'] or ''}"


def entry_text(
    name: str, fields: Mapping[str, Any], comment: str, notes: Mapping[str, str] | None = None
) -> str:
    """The entry's YAML.

    Args:
        name: the model's name.
        fields: keys and values, in the order in which they are written; None is left out, as is
            an empty mapping.
        comment: a line above it.
        notes: remarks after a key's value.
    """
    lines = [f"# {comment}", f"{_scalar(name)}:"]
    for key, value in fields.items():
        if value is None or value == {}:
            continue
        remark = f"  # {notes[key]}" if notes and key in notes else ""
        lines.append(f"  {key}: {_value(value)}{remark}")
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_value(v)}" for key, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    return _scalar(value) if isinstance(value, str) else json.dumps(value)


def _scalar(text: str) -> str:
    """Text as YAML: bare where it stays text, else in quotes."""
    bare = _PLAIN.fullmatch(text) and not text.endswith(":") and yaml.safe_load(text) == text
    if bare:
        return text
    quoted: str = yaml.safe_dump(text, default_style='"', width=math.inf, allow_unicode=True)
    return quoted.rstrip("\n")
