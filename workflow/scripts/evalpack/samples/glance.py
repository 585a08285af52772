"""A look at a samples file, for planning before it is prepared: its beginning, and its size."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow.parquet as pq

from evalpack.errors import UserError
from evalpack.samples.pipeline import begin
from evalpack.samples.readers import Source, open_source
from evalpack.samples.sample import LeftOut
from evalpack.samples.sidecar import Sidecar
from evalpack.samples.tally import Tally
from evalpack.samples.templates import TEMPLATES
from evalpack.samples.values import BadValue

SAMPLES = 10_000
_SATURATED = 0.5
"""With at most this share of prompts new, the rest of the file is taken to bring no more."""
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Glance:
    """What planning needs to know of samples; lengths are in characters.

    `exact` says that all of them were counted, not only the beginning of their file.
    """

    samples: int
    distinct_prompts: int
    longest_prompt: int
    mean_prompt: float
    exact: bool

    @classmethod
    def of(cls, sidecar: Sidecar) -> "Glance":
        """What is known of prepared samples."""
        return cls(
            sidecar.samples,
            sidecar.distinct_prompts,
            sidecar.longest_prompt,
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
        tally, written, whole = Tally(), 0, True
        for row, raw in rows:
            if tally.samples >= SAMPLES or tally.samples == limit:
                whole = tally.samples == limit
                break
            tally.rows += 1
            if source.form == "json":
                written += len(json.dumps(raw, ensure_ascii=False)) + 2
            for candidate in _some(form.samples(row, raw), limit, tally):
                tally.keep(candidate)
    except (UserError, BadValue, OSError, ValueError):
        return UNKNOWN
    if not tally.samples:
        return UNKNOWN
    distinct = tally.prompts.count()
    times = 1.0 if whole else max(1.0, _rows(source, tally.rows, written) / tally.rows)
    samples = round(tally.samples * times)
    if not whole and limit is not None:
        samples = min(samples, limit)
    if distinct > tally.samples * _SATURATED:
        distinct = min(samples, round(distinct * times))
    return Glance(
        samples=samples,
        distinct_prompts=distinct,
        longest_prompt=tally.longest,
        mean_prompt=tally.characters / tally.samples,
        exact=whole,
    )


def _some(candidates: Iterator[Any], limit: int | None, tally: Tally) -> Iterator[Any]:
    for candidate in candidates:
        if tally.samples == limit:
            return
        if not isinstance(candidate, LeftOut):
            yield candidate


def _rows(source: Source, read: int, written: int) -> float:
    """Rows of the whole file, about."""
    if source.form == "parquet":
        return float(pq.read_metadata(source.path).num_rows)
    if source.form == "json":
        return source.path.stat().st_size / max(1, written) * read
    with source.path.open("rb") as file:
        return float(sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(_CHUNK), b"")))
