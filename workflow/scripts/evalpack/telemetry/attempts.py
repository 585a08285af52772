"""The files of a run's attempts: `telemetry/<slug>/<job>.<UTC>-<pid>.parquet`.

An attempt that runs, or was killed, has a stream (`.arrows`) in its place.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from time import time

import pyarrow as pa
import pyarrow.parquet as pq

from evalpack import processes
from evalpack.atomic import replacing
from evalpack.telemetry import samples, stream
from evalpack.telemetry.facts import KEY, Facts

STREAM_SUFFIX = ".arrows"
STALE_SECONDS = 120.0
"""A stream of another machine that stands still for so long is a dead job's; it grows every 2 s."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt and its samples."""

    path: Path
    facts: Facts
    table: pa.Table


def new_stream(folder: Path, facts: Facts) -> Path:
    """Where a new attempt's stream goes: a name that no other attempt has or had."""
    begun = datetime.fromtimestamp(facts.began, UTC).strftime("%Y%m%dT%H%M%SZ")
    stem = f"{facts.job.name}.{begun}-{facts.process['pid']}"
    for number in count(1):
        path = folder / f"{stem}{f'-{number}' if number > 1 else ''}{STREAM_SUFFIX}"
        if not path.exists() and not path.with_suffix(".parquet").exists():
            return path
    raise AssertionError


def convert(path: Path, facts: Facts, table: pa.Table) -> Path:
    """Write the Parquet file of an attempt that is over, and remove its stream."""
    target = path.with_suffix(".parquet")
    schema = samples.PARQUET.with_metadata({KEY: facts.to_json()})
    with replacing(target) as scratch:
        table = table.sort_by("time")  # what a driver keeps comes after what was read meanwhile
        pq.write_table(table.replace_schema_metadata(schema.metadata), scratch, compression="zstd")
    path.unlink(missing_ok=True)
    return target


def read_facts(path: Path) -> Facts:
    """The facts in a Parquet file.

    Raises:
        ValueError: there are none.
    """
    found = (pq.read_schema(path).metadata or {}).get(KEY)
    if found is None:
        raise ValueError(f"{path} has no telemetry in its metadata")
    return Facts.from_json(found)


def ended(folder: Path) -> Iterator[Attempt]:
    """The attempts under `<run>/telemetry` that are over, in the order of their names.

    Streams of dead jobs become Parquet files; a file that cannot be read is named in the log.
    """
    for path in sorted(folder.glob(f"*/*{STREAM_SUFFIX}")):
        if path.with_suffix(".parquet").exists():
            path.unlink(missing_ok=True)  # the job died between the two
            continue
        try:
            if _runs(path, stream.read(path)[0]):
                continue
            facts, table = stream.read(path)  # again: now its job writes no more
            if facts.end is None:
                facts = facts.ended("killed", facts.known_until)
            if _is_here(facts):
                convert(path, facts, table)
            else:  # from afar a slow machine looks like a dead one; leave it its file
                yield Attempt(path, facts, table)
        except FileNotFoundError:
            continue  # its job ended meanwhile, and the Parquet file is there
        except (OSError, ValueError, KeyError) as error:
            _logger.warning("%s is left out of the telemetry: %s", path, error)
    for path in sorted(folder.glob("*/*.parquet")):
        try:
            yield Attempt(path, read_facts(path), pq.read_table(path))
        except (OSError, ValueError) as error:
            _logger.warning("%s is left out of the telemetry: %s", path, error)


def running(folder: Path) -> list[Facts]:
    """The attempts under `<run>/telemetry` that still run, as they were seconds ago."""
    found = []
    for path in sorted(folder.glob(f"*/*{STREAM_SUFFIX}")):
        try:
            facts, _ = stream.read(path)
        except (OSError, ValueError, KeyError):
            continue
        if _runs(path, facts):
            found.append(facts)
    return found


def _is_here(facts: Facts) -> bool:
    return bool(facts.process["host"] == processes.identity()["host"])


def _runs(path: Path, facts: Facts) -> bool:
    """Whether the stream's writer lives, as far as this machine can tell."""
    writer = facts.process
    if not _is_here(facts):
        return time() - path.stat().st_mtime < STALE_SECONDS
    if writer["boot"] != processes.boot_id():
        return False
    return processes.is_alive(writer["pid"], writer["started"])
