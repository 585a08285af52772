"""Shards: one job's answers as a Parquet file, and which keys belong to which job."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evalpack.atomic import replacing

SCHEMA_VERSION = 1
_BATCH = 1024

_COLUMNS: dict[str, pa.DataType] = {
    "key": pa.string(),
    "text": pa.string(),
    "finish_reason": pa.string(),
    "prompt_tokens": pa.int32(),
    "completion_tokens": pa.int32(),
    "inference_time": pa.float64(),
    "finished": pa.string(),
    "error": pa.struct(
        [
            pa.field("type", pa.string()),
            pa.field("message", pa.string()),
            pa.field("permanent", pa.bool_()),
        ]
    ),
    "token_ids": pa.list_(pa.int32()),
    "max_tokens": pa.int32(),
    "max_model_len": pa.int32(),
    "env_id": pa.string(),
    "evaluation_type": pa.string(),
}
SCHEMA = pa.schema(_COLUMNS)


def shard_of(key: str, shards: int) -> int:
    """Number of the shard (from 1) that a key belongs to: a hash, so that more keys move none."""
    return int(key[:12], 16) % shards + 1


def write(path: Path, rows: Iterable[dict[str, Any]], *, settings: str, params: str) -> int:
    """Write a shard atomically; returns the number of rows.

    Args:
        path: the file; it appears whole or not at all.
        rows: journal rows, each key once.
        settings: digest of the model's settings, under which its keys were made.
        params: digest of all that decides the shard's answers, as Snakemake's `params` hold it.
    """
    metadata = {"schema_version": str(SCHEMA_VERSION), "settings": settings, "params": params}
    count = 0
    with (
        replacing(path) as scratch,
        pq.ParquetWriter(
            scratch,
            SCHEMA.with_metadata(metadata),
            compression="zstd",
            write_page_checksum=True,
        ) as writer,
    ):
        for batch in batches(rows):
            writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=SCHEMA))
            count += len(batch)
    _keep_a_link(path)
    return count


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a shard, in bounded memory.

    Raises:
        OSError, pa.ArrowInvalid: if the file is missing, damaged or no shard.
    """
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        if not file.schema_arrow.equals(SCHEMA):  # the footer has no checksum of its own
            raise pa.ArrowInvalid("its columns are not those of a shard")
        for batch in file.iter_batches(_BATCH):
            yield from batch.to_pylist()


def metadata(path: Path) -> dict[str, str]:
    """`schema_version`, `settings` and `params` of a shard.

    Raises:
        OSError, pa.ArrowInvalid: if the file is missing or no Parquet.
    """
    found = pq.read_metadata(path).metadata or {}
    return {key.decode(): value.decode() for key, value in found.items() if b":" not in key}


def salvage(folder: Path, settings: str, wanted: set[str]) -> Iterator[dict[str, Any]]:
    """Rows of a model's earlier shards under these settings: what a lost journal had.

    Snakemake deletes a shard before the job that makes it anew, so the links that `write` left
    are read as well.
    """
    found: set[str] = set()
    for path in [*sorted(folder.glob("*.parquet")), *sorted(folder.glob(".kept/*.parquet"))]:
        try:
            if metadata(path).get("settings") != settings:
                continue
            for row in read(path):
                if row["key"] in wanted and row["key"] not in found:
                    found.add(row["key"])
                    yield {"schema_version": SCHEMA_VERSION, **row}
        except (OSError, pa.ArrowException):
            continue  # a damaged file has nothing to salvage; its job makes it anew


def batches(rows: Iterable[dict[str, Any]], size: int = _BATCH) -> Iterator[list[dict[str, Any]]]:
    """Rows in lists of at most `size`."""
    batch: list[dict[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _keep_a_link(path: Path) -> None:
    kept = path.parent / ".kept" / path.name
    try:
        kept.parent.mkdir(exist_ok=True)
        kept.unlink(missing_ok=True)
        os.link(path, kept)
    except OSError:
        pass  # a file system without hard links has the journal alone
