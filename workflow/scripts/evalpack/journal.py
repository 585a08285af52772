"""The journal: every finished answer, appended as it finishes, so that nothing is done twice.

A folder per model holds JSON-lines files named `<settings digest>.<writer>.jsonl`: one writer a
file, never appended to by another process. Old settings cost nothing, since their files are not
opened. A line ends with a CRC-32 of itself; a torn or damaged line is no answer, and is counted.
"""

import json
import os
import threading
import uuid
import zlib
from collections.abc import Callable, Iterator, KeysView
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evalpack.atomic import sync_folder
from evalpack.engines.base import Answer

SCHEMA_VERSION = 1
_CRC = b',"crc":'
Usable = Callable[[dict[str, Any]], bool]


class JournalWriter:
    """Appends answers to a file of its own.

    Every line reaches the kernel before `append` returns (a killed process loses nothing
    finished) and the disk within a second (a power cut loses a second at most).
    """

    def __init__(self, folder: Path, settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{settings}.{uuid.uuid4().hex[:16]}.jsonl"
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)
        sync_folder(folder)
        self._dirty = threading.Event()
        self._failure: OSError | None = None
        self._closing = threading.Event()
        self._syncer = threading.Thread(target=self._sync_every_second, daemon=True)
        self._syncer.start()

    def append(self, row: dict[str, Any]) -> None:
        """Write one row (see `answer_row`)."""
        body = json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()
        line = b"%b%b%d}\n" % (body[:-1], _CRC, zlib.crc32(body))
        written = os.write(self._file, line)
        while written < len(line):  # a full disk raises on the second try
            written += os.write(self._file, line[written:])
        self._dirty.set()
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Sync and close; a file that got no row is removed."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._syncer.join()
        os.fsync(self._file)
        empty = os.fstat(self._file).st_size == 0
        os.close(self._file)
        if empty:
            self.path.unlink()

    def _sync_every_second(self) -> None:
        while not self._closing.wait(1.0):
            if self._dirty.is_set():
                self._dirty.clear()
                try:
                    os.fsync(self._file)
                except OSError as error:  # a quota or a network file system: `append` raises it
                    self._failure = error
                    return

    def __enter__(self) -> "JournalWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class _Place:
    file: int
    offset: int
    length: int
    finished: str
    failed: bool

    @property
    def rank(self) -> tuple[bool, str]:
        return (not self.failed, self.finished)


class Journal:
    """What one model's journal holds under one settings digest, by key.

    Only the places of the rows are kept in memory; rows are read from disk when asked for.
    """

    def __init__(self, folder: Path, settings: str, usable: Usable) -> None:
        """Scan the folder.

        Args:
            folder: the model's journal folder; may be missing.
            settings: digest of the model's settings; files of others are not opened.
            usable: tells whether a row is wanted and still stands under the present limits.
        """
        self._paths = sorted(folder.glob(f"{settings}.*.jsonl"))
        self._places: dict[str, _Place] = {}
        self.damaged = 0
        for number, path in enumerate(self._paths):
            with path.open("rb") as lines:
                offset = 0
                for line in lines:
                    start, offset = offset, offset + len(line)
                    row = parse_line(line)
                    if row is None:
                        self.damaged += 1
                    elif usable(row):
                        failed = row["error"] is not None
                        place = _Place(number, start, len(line), row["finished"], failed)
                        self._keep(row["key"], place)

    def keys(self) -> KeysView[str]:
        """The keys that have a usable row."""
        return self._places.keys()

    def rows(self) -> Iterator[dict[str, Any]]:
        """All rows that stand, file by file in the order they were written."""
        by_file: dict[int, list[_Place]] = {}
        for place in self._places.values():
            by_file.setdefault(place.file, []).append(place)
        for number, places in sorted(by_file.items()):
            with self._paths[number].open("rb") as lines:
                for place in sorted(places, key=lambda place: place.offset):
                    lines.seek(place.offset)
                    row = parse_line(lines.read(place.length))
                    if row is None:
                        raise OSError(f"{self._paths[number]} changed while it was read")
                    yield row

    def _keep(self, key: str, place: _Place) -> None:
        """Of two rows with one key an answer beats an error; then the later one stands."""
        other = self._places.get(key)
        if other is None or place.rank >= other.rank:
            self._places[key] = place


def answer_row(
    answer: Answer,
    *,
    env_id: str,
    evaluation_type: str,
    max_tokens: int,
    max_model_len: int | None,
) -> dict[str, Any]:
    """The journal's row of an answer; shards hold the same fields.

    `max_tokens` and `max_model_len` are the limits it was generated under, in tokens: they say
    whether a truncated answer or a refused prompt still stands when a limit changes.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "key": answer.key,
        # Parquet and JSON readers refuse half a surrogate pair, which a server may send.
        "text": answer.text and answer.text.encode("utf-8", "replace").decode("utf-8"),
        "finish_reason": answer.finish_reason,
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "inference_time": answer.inference_time,
        "finished": answer.finished,
        "error": asdict(answer.error) if answer.error is not None else None,
        "token_ids": answer.token_ids,
        "max_tokens": max_tokens,
        "max_model_len": max_model_len,
        "env_id": env_id,
        "evaluation_type": evaluation_type,
    }


def stands(row: dict[str, Any], max_tokens: int, max_model_len: int | None) -> bool:
    """Whether a journalled row answers the same request under these limits (tokens).

    An answer that stopped by itself within the limit stands; one cut short stands only under the
    very limit that cut it; of errors only the permanent ones stand, a prompt that was too long
    only for the same context.
    """
    error = row["error"]
    if error is not None:
        if error["type"] == "PromptTooLong":
            return bool(row["max_model_len"] == max_model_len)
        return bool(error["permanent"])
    tokens = row["completion_tokens"]
    if row["finish_reason"] == "length":
        cut_by_limit = tokens is None or tokens >= row["max_tokens"]
        same_context = row["max_model_len"] == max_model_len
        return bool(row["max_tokens"] == max_tokens and (cut_by_limit or same_context))
    # A server may count tokens that its own limit does not.
    return tokens is None or tokens <= max_tokens or row["max_tokens"] <= max_tokens


def parse_line(line: bytes) -> dict[str, Any] | None:
    """The row of a journal line, or None if it is torn, damaged or of another version."""
    body, separator, tail = line.rpartition(_CRC)
    if not separator or not tail.endswith(b"}\n") or not tail[:-2].isdigit():
        return None
    body += b"}"
    if zlib.crc32(body) != int(tail[:-2]):
        return None
    row: dict[str, Any] = json.loads(body)
    return row if row["schema_version"] == SCHEMA_VERSION else None
