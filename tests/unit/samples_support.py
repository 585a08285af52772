"""Real files in, real Parquet out: what the tests of samples share."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from evalpack.samples import PrepareReport, prepare

TEMPLATES = Path(__file__).parents[2] / "config" / "templates"


@dataclass
class Prepared:
    """What `prepare` made of a file."""

    report: PrepareReport
    rows: list[dict[str, Any]]
    output: Path
    sidecar: Path

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self.rows]


def prepare_file(path: Path, **options: Any) -> Prepared:
    output, sidecar = path.parent / "out" / "samples.parquet", path.parent / "out" / "samples.json"
    options.setdefault("templates", TEMPLATES)
    report = prepare(path, output=output, sidecar=sidecar, **options)
    return Prepared(report, pq.read_table(output).to_pylist(), output, sidecar)


def jsonl(path: Path, *rows: Mapping[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
