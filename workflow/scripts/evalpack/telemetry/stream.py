"""A job's samples on their way: an Arrow stream that a SIGKILL at any moment leaves readable.

Each batch carries the facts as they stood when it was written; the last whole one counts.
"""

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from evalpack.telemetry import samples
from evalpack.telemetry.facts import KEY, Facts
from evalpack.telemetry.samples import Row

_BUFFER_BYTES = 1 << 20
"""More than a batch has: it goes to the file in one write."""


class StreamWriter:
    """Writes a stream, batch by batch; every batch is in the file when `write` returns."""

    def __init__(self, path: Path, facts: Facts) -> None:
        """Begin a new file.

        Raises:
            OSError: it cannot be written, or is there.
        """
        self._file = io.BufferedWriter(io.FileIO(path, "xb"), _BUFFER_BYTES)
        schema = samples.STREAM.with_metadata({KEY: facts.to_json()})
        self._writer = pa.ipc.new_stream(self._file, schema)
        self.write([], facts)

    def write(self, rows: Sequence[Row], facts: Facts) -> None:
        """Append samples, and the facts as they are now."""
        self._writer.write_batch(samples.batch(rows), custom_metadata={KEY: facts.to_json()})
        self._file.flush()

    def close(self) -> None:
        """Let go of the file, also of one that cannot be written."""
        with contextlib.suppress(OSError):
            self._writer.close()
        with contextlib.suppress(OSError):
            self._file.close()


def read(path: Path) -> tuple[Facts, pa.Table]:
    """What a stream holds, up to where it is torn.

    Returns:
        The last facts, and the samples in the schema `samples.PARQUET`.

    Raises:
        OSError: the file cannot be read.
        ValueError: not even its beginning is whole.
    """
    with path.open("rb") as file:
        reader = pa.ipc.open_stream(file)
        facts = (reader.schema.metadata or {})[KEY]
        batches: list[pa.RecordBatch] = []
        # ArrowInvalid and OSError: torn within a batch. StopIteration: at the end of one.
        with contextlib.suppress(pa.ArrowInvalid, OSError, StopIteration):
            while True:
                found = reader.read_next_batch_with_custom_metadata()
                batches.append(found.batch)
                facts = found.custom_metadata[KEY]
    table = pa.Table.from_batches(batches, samples.STREAM)
    return Facts.from_json(facts), table.cast(samples.PARQUET)
