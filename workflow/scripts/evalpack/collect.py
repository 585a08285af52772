"""Collecting: all models' records in files that judges and dashboards read. Streams."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evalpack import judge_requests, provenance
from evalpack.atomic import read_json, replacing, write_json
from evalpack.clock import utc_now
from evalpack.jobs import RunSpec
from evalpack.paths import RunPaths
from evalpack.summary import ModelTally

SCHEMA_VERSION = 1
_BATCH = 1024


def collect(run_dir: Path, responses: Sequence[Path], rubric: Path) -> list[Path]:
    """Write the files of `<run>/judge_ready`.

    Args:
        run_dir: `<results>/<run>`.
        responses: the models' response files, in the order of the lineup.
        rubric: the judge's instructions.

    Returns:
        The files written, metadata last.
    """
    paths = RunPaths(run_dir)
    spec = RunSpec.load(paths.plan)
    out = paths.judge_ready
    table = out / "responses.parquet"
    integration, metadata = paths.integration(spec.run), paths.metadata(spec.run)
    schema = pq.read_schema(responses[0])
    first = spec.config["conditions"][0]["name"]
    tallies = {job.model.name: ModelTally(job.model.name) for job in spec.models}
    with (
        replacing(table) as table_part,
        replacing(integration) as integration_part,
        pq.ParquetWriter(table_part, schema, compression="zstd") as writer,
        integration_part.open("w", encoding="utf-8") as json_file,
        judge_requests.Writer(out, spec.config["judge"], rubric) as requests,
    ):
        array = _JSONArray(json_file)
        for batch in _batches(responses, tallies.values()):
            writer.write_batch(batch.cast(schema))
            for row in batch.to_pylist():
                tallies[row["model"]].add(row)
                if row["condition"] == first and row["draw"] == 0:
                    array.append(row)
                requests.add(row)
        array.close()
    dataset = _dataset(read_json(paths.samples_report)["report"])
    write_json(
        metadata,
        {
            "schema_version": SCHEMA_VERSION,
            "evaluation_type": _one_or_list(t.evaluation_types for t in tallies.values()),
            "timestamp": utc_now(),
            "total_samples": dataset["samples"],
            "total_models": len(tallies),
            "total_results": sum(t.rows for t in tallies.values()),
            "total_successful_results": sum(t.success for t in tallies.values()),
            "models_evaluated": list(tallies),
            "models": {name: tally.as_json() for name, tally in tallies.items()},
            "dataset_info": dataset,
            "gpu_setup": dict(spec.hardware),
            "provenance": provenance.describe(
                paths, spec, [table, integration, *requests.files, requests.map, *responses]
            ),
        },
    )
    return [table, integration, *requests.files, requests.map, metadata]


def _dataset(report: dict[str, Any]) -> dict[str, Any]:
    """What was asked, and what became of every row of the samples file."""
    return {**report.pop("dataset_info"), **report}


class _JSONArray:
    """A JSON array written element by element; NaN is refused."""

    def __init__(self, file: Any) -> None:
        self._file, self._separator = file, "[\n"

    def append(self, value: Mapping[str, Any]) -> None:
        self._file.write(self._separator)
        json.dump(value, self._file, ensure_ascii=False, allow_nan=False)
        self._separator = ",\n"

    def close(self) -> None:
        self._file.write("[]\n" if self._separator == "[\n" else "\n]\n")


def _batches(responses: Sequence[Path], tallies: Iterable[ModelTally]) -> Iterator[pa.RecordBatch]:
    for path, tally in zip(responses, tallies, strict=True):
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(_BATCH)
        tally.close()


def _one_or_list(kinds: Iterator[set[str]]) -> str | list[str]:
    found = sorted(set().union(*kinds))
    return found[0] if len(found) == 1 else found
