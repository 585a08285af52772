"""Samples as files hold them: a row a device and time, with what was read of it then."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from evalpack.telemetry.meter import Reading

# A stream repeats its dictionaries batch by batch; plain text is simpler there, and as small.
_FIELDS: "list[pa.Field[Any]]" = [
    pa.field("time", pa.timestamp("us", tz="UTC"), nullable=False),
    pa.field("uuid", pa.string(), nullable=False),
    pa.field("phase", pa.string(), nullable=False),
    pa.field("utilization_percent", pa.int16()),
    pa.field("memory_bytes", pa.int64()),
    pa.field("power_watts", pa.float64()),
    pa.field("temperature_celsius", pa.int16()),
    pa.field("energy_millijoules", pa.int64()),
]
STREAM = pa.schema(_FIELDS)
_NAME = pa.dictionary(pa.int32(), pa.string())
PARQUET = STREAM.set(1, pa.field("uuid", _NAME, nullable=False)).set(
    2, pa.field("phase", _NAME, nullable=False)
)

Row = tuple[Any, ...]


def row(time: float, uuid: str, phase: str, reading: Reading) -> Row:
    """One sample; `time` in epoch seconds."""
    return (
        round(time * 1e6),
        uuid,
        phase,
        reading.utilization,
        reading.memory_used,
        reading.power,
        reading.temperature,
        reading.energy,
    )


def batch(rows: Sequence[Row]) -> pa.RecordBatch:
    """Samples as one batch of a stream."""
    columns = zip(*rows, strict=True) if rows else ([] for _ in STREAM)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, STREAM, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=STREAM)
