"""The columns of merged answers and of response records."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA_VERSION = "1"

_ROW: list["pa.Field[Any]"] = [
    pa.field("model", pa.string(), nullable=False),
    pa.field("sample_id", pa.string(), nullable=False),
    pa.field("condition", pa.string(), nullable=False),
    pa.field("draw", pa.int32(), nullable=False),
    pa.field("question", pa.string()),
    pa.field("country", pa.string()),
    pa.field("human_response", pa.int64()),
    pa.field("prompt", pa.string()),
    pa.field("label_leak", pa.bool_(), nullable=False),
]
_MEASURED: list["pa.Field[Any]"] = [
    pa.field("finish_reason", pa.string()),
    pa.field("prompt_tokens", pa.int32()),
    pa.field("completion_tokens", pa.int32()),
    pa.field("inference_time", pa.float64()),
    pa.field("timestamp", pa.string()),
    pa.field("evaluation_type", pa.string(), nullable=False),
    pa.field("env_id", pa.string()),
]

MERGED: list["pa.Field[Any]"] = [
    *_ROW,
    pa.field("_text", pa.string()),
    pa.field("error", pa.string()),
    *_MEASURED,
    pa.field("_key", pa.string(), nullable=False),
]
"""One model's raw answers; `_text` is what the model wrote, reasoning included."""

RESPONSE: list["pa.Field[Any]"] = [
    *_ROW,
    pa.field("response", pa.string()),
    pa.field("reasoning", pa.string()),
    pa.field("choice", pa.string(), nullable=False),
    pa.field("moral_score", pa.int64()),
    pa.field("disagreement", pa.bool_(), nullable=False),
    pa.field("success", pa.bool_(), nullable=False),
    pa.field("error", pa.string()),
    *_MEASURED,
]
"""One response record, unique on (model, sample_id, condition, draw)."""

RESERVED = {field.name for field in (*MERGED, *RESPONSE)}
_OF_SAMPLES = {"messages", "prompt_digest"}


def carried(samples: Path) -> list["pa.Field[Any]"]:
    """The columns of samples.parquet that are carried through to the records."""
    return [f for f in pq.read_schema(samples) if f.name not in RESERVED | _OF_SAMPLES]


def schema(fields: Sequence["pa.Field[Any]"], extra: Sequence["pa.Field[Any]"]) -> pa.Schema:
    """Schema of a file of records with these carried columns."""
    return pa.schema([*fields, *extra], metadata={"schema_version": SCHEMA_VERSION})
