"""The parse stage: raw answers become response records. No engine, no GPU."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evalpack import records
from evalpack.atomic import replacing
from evalpack.extract import PARSERS, Parser, split_reasoning

_BATCH = 1024


def parse(merged: Path, responses: Path, parser: str) -> int:
    """Read choice and score out of one model's merged answers.

    Args:
        merged: `<run>/merged/<slug>.parquet`.
        responses: `<run>/responses/<slug>.parquet`, written.
        parser: name of a built-in parser.

    Returns:
        The number of records.
    """
    read = PARSERS[parser]
    with pq.ParquetFile(merged) as file:
        known = {field.name for field in records.MERGED}
        extra = [field for field in file.schema_arrow if field.name not in known]
        schema = records.schema(records.RESPONSE, extra)
        with (
            replacing(responses) as scratch,
            pq.ParquetWriter(scratch, schema, compression="zstd") as writer,
        ):
            for batch in file.iter_batches(_BATCH):
                rows = [record(row, read) for row in batch.to_pylist()]
                writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
        return int(file.metadata.num_rows)


def record(row: dict[str, Any], parser: Parser) -> dict[str, Any]:
    """The response record of a merged row.

    A reasoning block that never closed gave no answer: such a row is `Truncated`, not a success;
    neither is an answer without a visible character.
    """
    text, error = row["_text"], row["error"]
    split = split_reasoning(text or "", finish_reason=row["finish_reason"])
    if error is None and split.truncated:
        error = f"Truncated: {row['completion_tokens']} tokens ended before an answer was given"
    elif error is None and not split.answer.strip():
        error = "EmptyAnswer: the model ended without writing anything"
    answer = split.answer if text is not None else None
    read = parser(split.answer if error is None else "")
    kept = {name: value for name, value in row.items() if name not in ("_text", "_key")}
    return {
        **kept,
        "response": answer,
        "reasoning": split.reasoning,
        "choice": read.choice,
        "moral_score": read.moral_score,
        "disagreement": read.disagreement,
        "success": error is None,
        "error": error,
    }
