"""From samples to samples.parquet: batches wait in a nameless file until all columns are known.

A column may first appear, or change its type, in the last row. So each batch is written as an
Arrow stream with a schema of its own, and the streams become one Parquet file at the end.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

from evalpack.samples.columns import MOST_COLUMNS
from evalpack.samples.kinds import Kind, conformed, kind_of, stored
from evalpack.samples.sample import Sample
from evalpack.samples.values import BadValue

SCHEMA_VERSION = 1
BATCH_ROWS = 10_000
BATCH_CHARACTERS = 16_000_000

_FIELDS: list[tuple[str, pa.DataType]] = [
    ("sample_id", pa.string()),
    ("question", pa.string()),
    ("country", pa.string()),
    ("human_response", pa.int64()),
    ("prompt", pa.string()),
    ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
    ("prompt_digest", pa.string()),
    ("label_leak", pa.bool_()),
]
FIELDS = pa.schema(_FIELDS)
_ROW = "\0row"  # no column of the input can have this name: it never reaches the result


class Spool:
    """A context in which samples are added, and then written to one Parquet file."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed in __exit__)
        self._batch: list[Sample] = []
        self._characters = 0
        self._kinds: dict[str, Kind] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, sample: Sample) -> None:
        """Add a sample.

        Raises:
            BadValue: if the samples together have too many different columns.
        """
        self._batch.append(sample)
        self._characters += sample.characters
        if len(self._batch) >= BATCH_ROWS or self._characters >= BATCH_CHARACTERS:
            self._flush()

    def rows(self) -> Iterator[tuple[int, str]]:
        """(row number in the source, id) of every sample."""
        for batch in self._batches():
            yield from zip(
                batch.column(_ROW).to_pylist(), batch.column("sample_id").to_pylist(), strict=True
            )

    def write(self, path: Path) -> None:
        """Write all samples to `path`, in the order in which they were added."""
        self._flush()  # the last batch can still add columns
        import pyarrow.parquet as pq  # not needed where samples are only counted

        schema = pa.schema(
            [*_FIELDS, *((name, kind.arrow) for name, kind in self._kinds.items())],
            metadata={"schema_version": str(SCHEMA_VERSION)},
        )
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for batch in self._batches():
                columns = [batch.column(name) for name in FIELDS.names]
                for name, kind in self._kinds.items():
                    if name in batch.schema.names:
                        columns.append(conformed(batch.column(name), kind))
                    else:
                        columns.append(pa.array([None] * batch.num_rows, kind.arrow))
                writer.write_batch(pa.record_batch(columns, schema=schema))

    def _flush(self) -> None:
        batch, self._batch, self._characters = self._batch, [], 0
        if not batch:
            return
        arrays = [pa.array([getattr(s, f.name) for s in batch], f.type) for f in FIELDS]
        names = [*FIELDS.names, _ROW]
        arrays.append(pa.array([s.row for s in batch], pa.int64()))
        for name in dict.fromkeys(name for s in batch for name in s.carried):
            values = [s.carried.get(name) for s in batch]
            kind = kind_of(values)
            self._kinds[name] = self._kinds.get(name, Kind.NOTHING) | kind
            names.append(name)
            arrays.append(stored(values, kind))
        if len(self._kinds) > MOST_COLUMNS:
            raise BadValue(
                f"there are more than {MOST_COLUMNS} different columns: nest them in one"
            )
        record = pa.record_batch(arrays, names=names)
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_stream(self._file, record.schema, options=options) as stream:
            stream.write_batch(record)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        self._flush()
        end = self._file.seek(0, 2)
        self._file.seek(0)
        while self._file.tell() < end:
            with pa.ipc.open_stream(self._file) as stream:
                yield from stream
