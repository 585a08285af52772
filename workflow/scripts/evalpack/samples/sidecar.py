"""The sidecar: a small JSON beside samples.parquet that planning reads without opening it."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evalpack.atomic import read_json, write_json
from evalpack.samples.report import PrepareReport
from evalpack.samples.templates import DEFAULT_TEMPLATE, TEMPLATES, find_template

SCHEMA_VERSION = 2


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What planning needs to know about prepared samples; lengths in characters, or bytes of UTF-8."""

    samples: int
    distinct_prompts: int
    longest_prompt: int
    longest_bytes: int
    mean_prompt: float
    report: dict[str, Any]


def sidecar_key(
    path: Path,
    *,
    template: str | None,
    limit: int | None,
    columns: Mapping[str, str],
    templates: Path = TEMPLATES,
) -> dict[str, Any]:
    """All that decides what the samples file becomes; cheap, as it does not open that file.

    Raises:
        OSError: if there is no such file.
    """
    stat = path.stat()
    file = find_template(template or DEFAULT_TEMPLATE, templates)
    return {
        "path": str(path.resolve()),
        "size": stat.st_size,
        "mtime_ns": stat.st_mtime_ns,
        "template_digest": hashlib.sha256(file.read_bytes()).hexdigest() if file else None,
        "limit": limit,
        "columns": dict(sorted(columns.items())),
    }


def write_sidecar(target: Path, key: Mapping[str, Any], report: PrepareReport) -> None:
    """Write the sidecar of samples that were prepared under `key`."""
    write_json(target, {"schema_version": SCHEMA_VERSION, "key": key, "report": asdict(report)})


def read_sidecar(sidecar: Path, key: Mapping[str, Any]) -> Sidecar | None:
    """What is known of the samples; None if nothing is, or if it was written under another key."""
    content = read_json(sidecar, default={})
    if content.get("schema_version") != SCHEMA_VERSION or content.get("key") != key:
        return None
    report = content["report"]
    return Sidecar(
        samples=report["samples"],
        distinct_prompts=report["distinct_prompts"],
        longest_prompt=report["longest_prompt"],
        longest_bytes=report["longest_prompt_bytes"],
        mean_prompt=report["mean_prompt"],
        report=report,
    )
