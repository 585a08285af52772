"""What a run came to, model by model: the table at its end, the tallies in its metadata."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from evalpack.atomic import read_json
from evalpack.clock import parse_utc


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
    _speed: float | None = None
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

    def close(self) -> None:
        """Keep the counts and let go of what they were counted from: memory for one model only."""
        self._speed = self.tokens_per_second
        self._spent.clear()

    @property
    def tokens_per_second(self) -> float | None:
        """Completion tokens a second while generating; None if no times are known."""
        if not self._spent:
            return self._speed
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


def print_summary(metadata: Path) -> None:
    """Print a table of the models, what the user must know, and where the files are."""
    console = Console(highlight=False)
    found = read_json(metadata)
    console.print(_table(found["models"]))
    for warning in _warnings(found):
        console.print(f"[bold red]Warning:[/] {escape(warning)}")
    console.print(f"\nJudge-ready files in [bold]{metadata.parent}[/bold]:")
    for path in sorted(metadata.parent.iterdir()):
        console.print(f"  {path.name}  ({path.stat().st_size:,} bytes)")


def _warnings(metadata: Mapping[str, Any]) -> Iterator[str]:
    yield from metadata["dataset_info"]["warnings"]
    models = metadata["models"]
    leaks = sum(tally["label_leaks"] for tally in models.values())
    if leaks:
        yield (
            f"{leaks} of {metadata['total_results']} prompts give away the human answer they are"
            " compared with; agreement on them measures nothing (column label_leak)"
        )
    for name, tally in models.items():
        if len(tally["env_ids"]) > 1:
            yield f"{name} was answered by different software or GPUs: {'; '.join(tally['env_ids'])}"


def _table(models: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(
        title="Answers by model", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    table.add_column("model", no_wrap=True)
    for name in ("samples", "success", "acceptable", "unacceptable", "unknown", "tok/s"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, tally in models.items():
        choices, speed = tally["choices"], tally["tokens_per_second"]
        shares = [
            f"{choices.get(choice, 0) / tally['rows']:.0%}"
            for choice in ("acceptable", "unacceptable", "unknown")
        ]
        table.add_row(
            name,
            str(tally["rows"]),
            f"{tally['success_rate']:.1%}",
            *shares,
            f"{speed:,.0f}" if speed else "–",
        )
    return table
