"""Parquet, a batch of rows at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evalpack.errors import UserError
from evalpack.samples.values import shown

BATCH = 512  # rows: a batch of prompts of 1 MB each still fits in memory


def read_parquet(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (row number from 1, values by column).

    Raises:
        UserError: if the file is damaged, names a column twice or holds text that is not UTF-8.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise UserError(f"{path}: two columns are named {shown(twice)}: rename one")
            row = 0
            for batch in file.iter_batches(batch_size=BATCH):
                for values in _rows(path, row, batch):
                    row += 1
                    yield row, values
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} is not a Parquet file that can be read: {error}") from None


def _rows(path: Path, before: int, batch: Any) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
    except UnicodeDecodeError:
        if batch.num_rows == 1:
            raise UserError(
                f"{path}, row {before + 1}: text that is not UTF-8: write it as UTF-8"
            ) from None
        rows = []
        for i in range(batch.num_rows):
            rows += _rows(path, before + i, batch.slice(i, 1))
    return rows
