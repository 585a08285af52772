"""A plan on the terminal: a row a model, and the totals."""

from collections.abc import Iterator

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from evalpack.plan.calibration import Calibration
from evalpack.plan.report import GB, ModelRow, PlanReport, clock, duration

_COLUMNS = (
    ("weights", "right"),
    ("TP", "right"),
    ("shards", "right"),
    ("mem/GPU", "right"),
    ("batch", "right"),
    ("start-up", "right"),
    ("generate", "right"),
    ("finish", "right"),
)


def print_plan(report: PlanReport, console: Console | None = None) -> None:
    """Print the table and the totals."""
    (console or Console(highlight=False)).print(rendered(report))


def rendered(report: PlanReport) -> RenderableType:
    """The table and the totals."""
    table = Table(
        title=f"Plan of {escape(report.run)} on {report.gpus} × {report.gpu_type}",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 0),
    )
    table.add_column("model", overflow="fold", min_width=12)
    table.add_column("size", no_wrap=True)
    for name, justify in _COLUMNS:
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for row in report.rows:
        table.add_row(escape(row.model), row.size, *_cells(row))
    return Group(table, *(Text(line) for line in _totals(report)), Text(""), *_notes(report))


def rendered_history(report: PlanReport, calibration: Calibration) -> RenderableType | None:
    """Predicted against measured, a row a finished job of the plan's models; None without any."""
    seen = {row.model for row in report.rows}
    jobs = [one for one in calibration.measurements if one.model in seen]
    if not jobs:
        return None
    table = Table(
        title="Measured before (predicted by the cost model → measured)",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("job", overflow="fold")
    for name in ("TP", "answers", "tokens out", "start-up", "generate", "tok/s"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in jobs:
        said = calibration.predicted(one)
        start, generate = said if said is not None else (None, None)
        table.add_row(
            escape(one.job),
            str(one.gpus),
            f"{one.requests:,}",
            f"{one.output_tokens / max(1, one.requests):.0f} of {one.max_tokens}",
            _against(start, one.start),
            _against(generate, one.generate),
            f"{one.output_tokens / one.generate:,.0f}" if one.generate else "–",
        )
    return table


def _cells(row: ModelRow) -> tuple[str, ...]:
    return (
        _gb(row.weight_bytes) if row.weight_bytes else "–",
        str(row.gpus),
        str(row.shards),
        _gb(row.weights_each + row.kv_each + row.other_each),
        f"{row.batch:,}",
        clock(row.start),
        clock(row.generate) if row.generate else "–",
        clock(row.finish),
    )


def _totals(report: PlanReport) -> Iterator[str]:
    cost = f", {report.cost:,.2f} {report.currency}" if report.cost is not None else ""
    hours = report.gpu_hours
    yield f"Makespan {duration(report.makespan)}, {hours:.2f} GPU-hours{cost}"
    yield (
        f"GPUs busy {report.schedule.busy_share:.0%} of the time, generating"
        f" {report.schedule.generating_share:.0%}"
    )
    for name, seconds in (
        ("one model at a time", report.one_at_a_time),
        ("three phases (small, medium, large)", report.phases),
    ):
        if report.makespan:
            factor = seconds / report.makespan
            yield f"Against {name}: {duration(seconds)}, {factor:.1f} times as long"
    yield (
        f"No plan ends before {duration(report.lower_bound)}; this one is {report.gap:.1%} above"
        f" that, by {report.solved_by}"
    )


def _notes(report: PlanReport) -> Iterator[Text]:
    for note in report.notes:
        yield Text(note, style="dim")


def _against(predicted: float | None, measured: float) -> str:
    said = f"{predicted:.0f} → " if predicted else ""
    return f"{said}{measured:.0f} s"


def _gb(count: float) -> str:
    """Bytes in three digits.

    >>> _gb(145412407296), _gb(2471628800)
    ('145 GB', '2.5 GB')
    """
    return f"{count / GB:.0f} GB" if count >= 100 * GB else f"{count / GB:.1f} GB"
