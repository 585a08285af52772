"""A look at a samples file, for planning before it is prepared: its beginning, and its size."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from evalpack.samples.pipeline import begin
from evalpack.samples.readers import Source, open_source
from evalpack.samples.readers.json_array import bytes_of_rows
from evalpack.samples.sample import LeftOut
from evalpack.samples.sidecar import Sidecar
from evalpack.samples.tally import Tally
from evalpack.samples.templates import TEMPLATES

SAMPLES = 10_000
_SATURATED = 0.5
"""With at most this share of prompts new, the rest of the file is taken to bring no more."""
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Glance:
    """What planning needs to know of samples.

    `longest_bytes` is of the longest prompt in UTF-8, `mean_prompt` in characters. `exact` says that
    all of them were counted, not only the beginning of their file.
    """

    samples: int
    distinct_prompts: int
    longest_bytes: int
    mean_prompt: float
    exact: bool

    @classmethod
    def of(cls, sidecar: Sidecar) -> "Glance":
        """What is known of prepared samples."""
        return cls(
            sidecar.samples,
            sidecar.distinct_prompts,
            sidecar.longest_bytes,
            sidecar.mean_prompt,
            exact=True,
        )


UNKNOWN = Glance(5000, 5000, 4000, 500.0, exact=False)
"""Where a file cannot be read: `prepare` says why, a plan goes on."""


def glance(
    path: Path,
    *,
    template: str | None = None,
    limit: int | None = None,
    columns: Mapping[str, str] = MappingProxyType({}),
    templates: Path = TEMPLATES,
) -> Glance:
    """Count the first `SAMPLES` samples, and extrapolate to the file's size.

    Takes what `prepare` takes, and never raises: a mistake in the file is prepare's to tell.
    """
    try:
        source = open_source(path)
        form, rows = begin(source, template, columns, templates)
        tally, lines, whole = Tally(), 0, True
        for row, raw in rows:
            if tally.samples >= SAMPLES or tally.samples == limit:
                whole = tally.samples == limit
                break
            tally.rows += 1
            lines = row if source.form == "jsonl" else lines + _lines(source, raw)
            for candidate in _some(form.samples(row, raw), limit, tally):
                tally.keep(candidate)
        times = 1.0 if whole else max(1.0, _times(source, tally.rows, lines))
    except Exception:
        return UNKNOWN
    if not tally.samples:
        return UNKNOWN
    distinct = tally.prompts.count()
    samples = round(tally.samples * times)
    if not whole and limit is not None:
        samples = min(samples, limit)
    if distinct > tally.samples * _SATURATED:
        distinct = min(samples, round(distinct * times))
    return Glance(
        samples=samples,
        distinct_prompts=distinct,
        longest_bytes=tally.longest_bytes,
        mean_prompt=round(tally.characters / tally.samples, 1),  # as `prepare` does
        exact=whole,
    )


def _some(candidates: Iterator[Any], limit: int | None, tally: Tally) -> Iterator[Any]:
    for candidate in candidates:
        if tally.samples == limit:
            return
        if not isinstance(candidate, LeftOut):
            yield candidate


def _lines(source: Source, raw: Mapping[str, Any]) -> int:
    """Lines that a row takes in a file of lines: fields between quotes may hold further ones."""
    if source.form not in ("csv", "tsv"):
        return 1
    return 1 + sum(str(value).count("\n") for value in raw.values())


def _times(source: Source, rows: int, lines: int) -> float:
    """How many times the rows that were read the whole file has, about."""
    if source.form == "parquet":
        import pyarrow.parquet as pq

        return float(pq.read_metadata(source.path).num_rows) / rows
    if source.form == "json":
        return source.path.stat().st_size / bytes_of_rows(source.path, rows)
    with source.path.open("rb") as file:
        chunks = iter(lambda: file.read(_CHUNK), b"")
        return sum(chunk.count(b"\n") for chunk in chunks) / lines
