"""A plan on the terminal: a row a model, and the totals."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from evalpack.plan.calibration import Calibration, Measurement
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


def rendered(report: PlanReport) -> RenderableType:
    """The table and the totals."""
    where = "the CPU" if report.on_cpu else f"{report.gpus} × {escape(report.gpu_type)}"
    table = Table(
        title=f"Plan of {escape(report.run)} on {where}",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 0),
    )
    table.add_column("model", overflow="fold", min_width=12)
    table.add_column("size", no_wrap=True)
    for name, justify in _COLUMNS:
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for row in report.rows:
        table.add_row(escape(row.model), row.size, *_cells(row))
    totals = (Text(line) for line in _totals(report))
    return Group(table, Text(""), *totals, Text(""), *_notes(report))


def rendered_history(report: PlanReport, calibration: Calibration) -> RenderableType | None:
    """Predicted against measured, a row a model of the plan and its GPUs; None without any.

    Times are of a job, in the mean over those that were measured.
    """
    seen = {row.model for row in report.rows}
    groups: dict[tuple[str, int], list[Measurement]] = {}
    for one in calibration.measurements:
        if one.model in seen:
            groups.setdefault((one.model, one.gpus), []).append(one)
    if not groups:
        return None
    table = Table(
        title="Measured before (predicted by the cost model → measured, a job)",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("model", overflow="fold", min_width=12)
    for name in ("TP", "jobs", "answers", "tokens out", "start-up", "generate", "tok/s"):
        table.add_column(name, justify="right", no_wrap=True)
    for (model, gpus), jobs in groups.items():
        table.add_row(escape(model), str(gpus), str(len(jobs)), *_history(jobs, calibration))
    return table


def _history(jobs: Sequence[Measurement], calibration: Calibration) -> tuple[str, ...]:
    said = [pair for one in jobs if (pair := calibration.predicted(one)) is not None]
    start, generate = (
        (sum(times) / len(said) for times in zip(*said, strict=True)) if said else (0, 0)
    )
    requests, tokens = sum(one.requests for one in jobs), sum(one.output_tokens for one in jobs)
    seconds = sum(one.generate for one in jobs)
    return (
        f"{requests:,}",
        f"{tokens / max(1, requests):.0f} of {max(one.max_tokens for one in jobs)}",
        _against(start, sum(one.start for one in jobs) / len(jobs)),
        _against(generate, seconds / len(jobs)),
        f"{tokens / seconds:,.0f}" if seconds else "–",
    )


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
    hours = "" if report.on_cpu else f", {report.gpu_hours:.2f} GPU-hours"
    yield f"Makespan {duration(report.makespan)}{hours}{cost}"
    yield (
        f"{'CPU' if report.on_cpu else 'GPUs'} busy {report.schedule.busy_share:.0%} of the time,"
        f" generating {report.schedule.generating_share:.0%}"
    )
    if report.gpus == 1 or not report.makespan:
        return  # one job after the other: there is nothing to pack
    for name, seconds in (
        ("one model at a time", report.one_at_a_time),
        ("three phases (small, medium, large)", report.phases),
    ):
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
