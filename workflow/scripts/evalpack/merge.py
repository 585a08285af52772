"""Merging: one model's shards joined to their samples, verified before a byte is written.

Answers go through a temporary SQLite file, so memory does not grow with the rows.
"""

import json
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from evalpack import records, shards, weights
from evalpack.asks import Ask, asks
from evalpack.atomic import replacing
from evalpack.errors import UserError
from evalpack.jobs import ModelJob, RunSpec
from evalpack.models import Model
from evalpack.paths import RunPaths
from evalpack.samples.prompts import prompt_digest


class MergeError(UserError):
    """The shards are not what the plan asked for; the message says which, and what to do."""


def merge(run_dir: Path, slug: str, shard_paths: Sequence[Path], params: str) -> int:
    """Write `<run>/merged/<slug>.parquet`: every sample × condition × draw exactly once.

    Args:
        run_dir: `<results>/<run>`.
        slug: the model's file name.
        shard_paths: all shards of the model, in order.
        params: the digest of settings that every shard must have been made under.

    Returns:
        The number of rows.

    Raises:
        MergeError: if a shard is damaged or of other settings, or a key is missing, doubled or
            unasked for.
    """
    paths = RunPaths(run_dir)
    job = RunSpec.load(paths.plan).job(slug)
    _, identity, _ = weights.locate(job.model, paths.weights(slug))
    settings = job.settings_digest(identity)
    paths.merged(slug).parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(
            prefix=f".{slug}-", suffix=".part", dir=paths.merged(slug).parent
        ) as scratch,
        closing(_database(Path(scratch) / "answers.sqlite")) as answers,
    ):
        answers.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
            "CREATE TABLE answer (key TEXT PRIMARY KEY, row TEXT) WITHOUT ROWID;"
            "CREATE TABLE used (key TEXT PRIMARY KEY) WITHOUT ROWID;"
        )
        for index, path in enumerate(shard_paths, start=1):
            _load(answers, path, index, len(shard_paths), settings, params)
        return _write(answers, paths, slug, job, settings)


def _database(path: Path) -> sqlite3.Connection:
    """A database of our own, without file locks: network file systems may hang on them."""
    return sqlite3.connect(f"file:{quote(str(path.resolve()))}?vfs=unix-none", uri=True)


def _load(
    answers: sqlite3.Connection, path: Path, index: int, of: int, settings: str, params: str
) -> None:
    redo = f"delete {path} and run again: its answers are in the journal"
    try:
        found = shards.metadata(path)
        expected = {
            "schema_version": str(shards.SCHEMA_VERSION),
            "settings": settings,
            "params": params,
        }
        if found != expected:
            raise MergeError(f"{path} was made under other settings; {redo}")
        for batch in shards.batches(shards.read(path)):
            strays = [row["key"] for row in batch if shards.shard_of(row["key"], of) != index]
            if strays:
                raise MergeError(f"{path} holds key {strays[0]}, which belongs elsewhere; {redo}")
            answers.executemany(
                "INSERT INTO answer VALUES (?, ?)",
                ((row["key"], json.dumps({**row, "token_ids": None})) for row in batch),
            )
    except sqlite3.IntegrityError:
        raise MergeError(f"{path} holds a key twice; {redo}") from None
    except (OSError, pa.ArrowException) as error:
        raise MergeError(f"{path} is damaged ({str(error).splitlines()[0]}); {redo}") from None


def _write(
    answers: sqlite3.Connection, paths: RunPaths, slug: str, job: ModelJob, settings: str
) -> int:
    extra = records.carried(paths.samples)
    schema = records.schema(records.MERGED, extra)
    count = 0
    with (
        replacing(paths.merged(slug)) as scratch,
        pq.ParquetWriter(scratch, schema, compression="zstd") as writer,
    ):
        for batch in shards.batches(_rows(answers, paths, job, settings, [f.name for f in extra])):
            writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=schema))
            count += len(batch)
        unused = answers.execute(
            "SELECT count(*), min(key) FROM answer WHERE key NOT IN (SELECT key FROM used)"
        ).fetchone()
        if unused[0]:
            raise MergeError(
                f"{job.model.name}: {unused[0]} answers belong to no sample (key {unused[1]});"
                " the samples changed under the run, so run again"
            )
    return count


def _rows(
    answers: sqlite3.Connection, paths: RunPaths, job: ModelJob, settings: str, extra: list[str]
) -> Iterator[dict[str, Any]]:
    for ask in asks(paths.samples, job, settings):
        sample = ask.sample
        asked = sample["prompt"] if sample["prompt"] is not None else sample["messages"]
        if prompt_digest(asked) != sample["prompt_digest"]:
            raise MergeError(
                f"{paths.samples}: sample {sample['sample_id']} does not match its digest;"
                " delete the file and run again"
            )
        found = answers.execute("SELECT row FROM answer WHERE key = ?", (ask.key,)).fetchone()
        if found is None:
            raise MergeError(
                f"{job.model.name}: no answer to sample {sample['sample_id']}, condition"
                f" {ask.condition}, draw {ask.draw}; delete {paths.generations(job.model.slug)}"
                " and run again: finished answers are in the journal"
            )
        answers.execute("INSERT OR IGNORE INTO used VALUES (?)", (ask.key,))
        yield _record(ask, json.loads(found[0]), job.model, extra)


def _record(ask: Ask, answer: dict[str, Any], model: Model, extra: list[str]) -> dict[str, Any]:
    sample, error = ask.sample, answer["error"]
    return {
        "model": model.name,
        "sample_id": sample["sample_id"],
        "condition": ask.condition,
        "draw": ask.draw,
        "question": sample["question"],
        "country": sample["country"],
        "human_response": sample["human_response"],
        "prompt": ask.shown,
        "label_leak": ask.label_leak,
        "_text": answer["text"],
        "error": f"{error['type']}: {error['message']}" if error else None,
        "finish_reason": answer["finish_reason"],
        "prompt_tokens": answer["prompt_tokens"],
        "completion_tokens": answer["completion_tokens"],
        "inference_time": answer["inference_time"],
        "timestamp": answer["finished"],
        # What a server elsewhere is called is the entry's word, also for answers made before.
        "evaluation_type": model.evaluation_type or answer["evaluation_type"],
        "env_id": answer["env_id"],
        "_key": ask.key,
        **{name: sample[name] for name in extra},
    }
