"""What a run came to, model by model: the table at its end, the tallies in its metadata."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from evalpack.atomic import read_json
from evalpack.clock import parse_utc
from evalpack.paths import RunPaths

_COLUMNS = [
    *("model", "condition", "draw", "prompt", "success", "error", "choice", "finish_reason"),
    *(
        "completion_tokens",
        "inference_time",
        "timestamp",
        "evaluation_type",
        "env_id",
        "label_leak",
    ),
]


@dataclass
class ModelTally:
    """Counts over one model's records.

    Speed comes from the records alone, so that it holds for answers of any number of jobs: tokens
    over the time in which at least one answer was being generated.
    """

    model: str
    rows: int = 0
    success: int = 0
    label_leaks: int = 0
    choices: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    finish_reasons: Counter[str] = field(default_factory=Counter)
    evaluation_types: set[str] = field(default_factory=set)
    env_ids: set[str] = field(default_factory=set)
    _spent: set[tuple[str, float, int, int]] = field(default_factory=set)

    def add(self, row: Mapping[str, Any]) -> None:
        """Count one response record."""
        self.rows += 1
        self.success += bool(row["success"])
        self.label_leaks += bool(row["label_leak"])
        self.choices[row["choice"]] += 1
        self.evaluation_types.add(row["evaluation_type"])
        if row["env_id"]:
            self.env_ids.add(row["env_id"])
        if row["error"]:
            self.errors[row["error"].partition(":")[0]] += 1
        if row["finish_reason"]:
            self.finish_reasons[row["finish_reason"]] += 1
        if row["inference_time"] is not None and row["completion_tokens"] is not None:
            # Rows that share one generation count once; the prompt tells others of its batch apart.
            shared = hash((row["prompt"], row["condition"], row["draw"]))
            seconds, tokens = row["inference_time"], row["completion_tokens"]
            self._spent.add((row["timestamp"], seconds, tokens, shared))

    @property
    def success_rate(self) -> float:
        """Share of rows with an answer."""
        return self.success / self.rows if self.rows else 0.0

    @property
    def tokens_per_second(self) -> float | None:
        """Completion tokens a second while generating; None if no times are known."""
        spans = sorted(
            (parse_utc(end).timestamp() - seconds, parse_utc(end).timestamp())
            for end, seconds, _, _ in self._spent
        )
        busy, reached = 0.0, float("-inf")
        for start, end in spans:
            busy += max(0.0, end - max(start, reached))
            reached = max(reached, end)
        tokens = sum(count for _, _, count, _ in self._spent)
        return tokens / busy if busy > 0 else None

    def as_json(self) -> dict[str, Any]:
        """The tally as metadata holds it."""
        speed = self.tokens_per_second
        return {
            "rows": self.rows,
            "success": self.success,
            "success_rate": round(self.success_rate, 4),
            "label_leaks": self.label_leaks,
            "choices": dict(self.choices),
            "errors": dict(self.errors),
            "finish_reasons": dict(self.finish_reasons),
            "env_ids": sorted(self.env_ids),
            "tokens_per_second": round(speed, 1) if speed else None,
        }


def tally(responses: Path) -> list[ModelTally]:
    """Tallies of a collected file, model by model in its order."""
    found: dict[str, ModelTally] = {}
    with pq.ParquetFile(responses) as file:
        for batch in file.iter_batches(4096, columns=_COLUMNS):
            for row in batch.to_pylist():
                found.setdefault(row["model"], ModelTally(row["model"])).add(row)
    return list(found.values())


def print_summary(run_dir: Path) -> None:
    """Print where the judge-ready files are, and a table of the models."""
    console = Console(highlight=False)
    ready = run_dir / "judge_ready"
    tallies = tally(ready / "responses.parquet")
    console.print(_table(tallies))
    for warning in _warnings(run_dir, tallies):
        console.print(f"[bold red]Warning:[/] {escape(warning)}")
    console.print(f"\nJudge-ready files in [bold]{ready}[/bold]:")
    for path in sorted(ready.iterdir()):
        console.print(f"  {path.name}  ({path.stat().st_size:,} bytes)")


def _warnings(run_dir: Path, tallies: Iterable[ModelTally]) -> Iterator[str]:
    yield from read_json(RunPaths(run_dir).samples_report)["report"]["warnings"]
    leaks, rows = sum(t.label_leaks for t in tallies), sum(t.rows for t in tallies)
    if leaks:
        yield (
            f"{leaks} of {rows} prompts give away the human answer they are compared with;"
            " agreement on them measures nothing (column label_leak)"
        )
    for t in tallies:
        if len(t.env_ids) > 1:
            yield f"{t.model} was answered by different software or GPUs: {'; '.join(sorted(t.env_ids))}"


def _table(tallies: Iterable[ModelTally]) -> Table:
    table = Table(
        title="Answers by model", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    table.add_column("model", no_wrap=True)
    for name in ("samples", "success", "acceptable", "unacceptable", "unknown", "tokens/s"):
        table.add_column(name, justify="right")
    for t in tallies:
        shares = [f"{t.choices[c] / t.rows:.0%}" for c in ("acceptable", "unacceptable", "unknown")]
        speed = t.tokens_per_second
        table.add_row(
            t.model,
            str(t.rows),
            f"{t.success_rate:.1%}",
            *shares,
            f"{speed:,.0f}" if speed else "–",
        )
    return table
