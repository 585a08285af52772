"""The plan as a Gantt chart: a lane for each GPU, time to the right, an empty lane is an idle GPU.

What comes out is a Vega-Lite specification, for a browser and for a file. It holds names of models
as data only, never in an expression. Text is `currentColor`, so that a page decides light or dark.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from evalpack.plan.bars import blocks, time_unit
from evalpack.plan.report import PlanReport, duration

if TYPE_CHECKING:
    import altair as alt

INK = "#14171c"
FONT = "system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif"
TWO_LINES = 34
"""Pixels of height from which a bar says its time below its name."""

# A tooltip makes its heading of what is titled "title".
TOLD: Mapping[str, str] = {
    "model": "title",
    "shard": "shard",
    "gpus": "GPUs",
    "begins": "begins at",
    "startup": "start-up",
    "generates": "generates",
    "finishes": "finishes at",
    "weights": "weights",
    "batch": "batch",
    "memory": "memory a GPU",
}


def lane_height(gpus: int) -> int:
    """Pixels of one GPU's lane: low enough for 64 of them, high enough for a line of text."""
    return max(15, min(44, 480 // max(gpus, 1)))


def gantt(report: PlanReport, width: int | Literal["container"], title: str = "") -> dict[str, Any]:
    """The chart as a Vega-Lite specification.

    Args:
        report: the plan.
        width: pixels, or `container` to fill the page's element.
        title: shown above; a page has a heading of its own.
    """
    import altair as alt

    height = lane_height(report.gpus) * max(report.gpus, 1)
    # A browser measures text with the font it draws; a file is read with other fonts, wider ones too.
    fit = 1.0 if width == "container" else 0.85
    chart = alt.layer(*_lanes(report), *_lead(report), *_bars(report, fit), *_rules(report))
    chart = chart.properties(width=width, height=height, description=description(report))
    if title:
        chart = chart.properties(title=alt.TitleParams(title, anchor="start", offset=14))
    chart = chart.configure(
        font=FONT,
        background="transparent",
        padding={"left": 4, "right": 14, "top": 4, "bottom": 4},
        view=alt.ViewConfig(stroke=None),
        title=alt.TitleConfig(fontSize=15, color="currentColor"),
        axis=alt.AxisConfig(
            labelColor="currentColor",
            titleColor="currentColor",
            labelFontSize=11,
            titleFontSize=11,
            titleFontWeight="normal",
            domain=False,
            ticks=False,
        ),
    )
    specification: dict[str, Any] = chart.to_dict()
    return specification


def description(report: PlanReport) -> str:
    """The chart in a sentence, for who cannot see it."""
    return (
        f"Gantt chart of {len(report.schedule.placed)} jobs of {len(report.rows)} models on"
        f" {report.gpus} GPUs, {duration(report.makespan)} from start to end."
        " The table of models holds the same times."
    )


def _lanes(report: PlanReport) -> "Iterator[alt.Chart]":
    """A faint band for each GPU, so that idle time is seen, and both axes."""
    import altair as alt

    name, seconds = time_unit(report)
    end = report.makespan / seconds or 1.0
    x = alt.X(
        "begin:Q",
        title=f"{name} from the start",
        scale=alt.Scale(domain=[0, end], nice=False, zero=True),
        axis=alt.Axis(gridColor="#888", gridOpacity=0.25, tickCount=12, format="~f"),
    )
    lane = "CPU" if report.gpu_type == "CPU" else "GPU"
    y = alt.Y(
        "top:Q",
        title=None,
        scale=alt.Scale(domain=[0, max(report.gpus, 1)], reverse=True, nice=False),
        axis=alt.Axis(
            grid=False,
            values=[number + 0.5 for number in range(report.gpus)],
            labelExpr=f"'{lane} ' + floor(datum.value)",
            tickCount=report.gpus,
            labelOverlap=False,
            labelPadding=8,
        ),
    )
    data = [{"begin": 0, "end": end, "top": n, "bottom": n + 1} for n in range(report.gpus)]
    yield (
        alt.Chart(alt.InlineData(values=data))
        .mark_rect(color="#888", opacity=0.13, yOffset=1, y2Offset=-1, aria=False)
        .encode(x=x, x2="end", y=y, y2="bottom")
    )


def _lead(report: PlanReport) -> "Iterator[alt.Chart]":
    """A band over all lanes while vLLM is imported, before the first job."""
    import altair as alt

    if not report.lead:
        return
    _, seconds = time_unit(report)
    said = f"vLLM is imported, once for all jobs: {duration(report.lead)}"
    data = [{"begin": 0, "end": round(report.lead / seconds, 4), "top": 0, "bottom": report.gpus}]
    yield (
        alt.Chart(alt.InlineData(values=data))
        .mark_rect(color="#888", opacity=0.25, tooltip=said, description=said)
        .encode(x="begin:Q", x2="end", y="top:Q", y2="bottom")
    )


def _bars(report: PlanReport, fit: float) -> "Iterator[alt.Chart]":
    """Jobs: the whole in full colour, a veil over its start-up, names, and what answers a pointer."""
    import altair as alt

    base = alt.Chart(alt.InlineData(values=list(blocks(report))))
    across = {"x": "begin:Q", "y": "top:Q", "y2": "bottom"}
    inside: dict[str, Any] = {"yOffset": 1, "y2Offset": -1, "xOffset": 0.5, "x2Offset": -0.5}
    whole = base.mark_rect(**inside, cornerRadius=3, aria=False)
    yield whole.encode(**across, x2="end", color=alt.Color("fill:N", scale=None))
    # White over the colour: the tint is of the same hue, and text across both stays readable.
    veil = base.mark_rect(**inside, cornerRadius=3, color="#fff", opacity=0.55, aria=False)
    yield veil.encode(**across, x2="warm")

    tall = lane_height(report.gpus)
    two = f"(datum.bottom - datum.top) * {tall} >= {TWO_LINES}"
    room = "(scale('x', datum.end) - scale('x', datum.begin) - 10)"
    # A name may be cut short where enough of it is left; a time may not.
    named = f"{room} > min(54, 7 * length(datum.label))"
    timed = f"{two} && {room} > 6 * length(datum.takes)"
    lines: tuple[tuple[str, str, str, Literal[400, 600]], ...] = (
        ("label", named, f"{two} ? -6 : 1", 600),
        ("takes", timed, "8", 400),
    )
    for field, shown, dy, weight in lines:
        yield (
            base.mark_text(
                align="left",
                baseline="middle",
                dx=6,
                dy=alt.expr(dy),
                limit=alt.expr(f"max({fit} * {room}, 1)"),
                text=alt.expr(f"{shown} ? datum.{field} : ''"),
                fontSize=11 if tall > 15 else 10,
                fontWeight=weight,
                color=INK,
                aria=False,
            )
            .encode(x="begin:Q", y=alt.Y("middle:Q"))
            .transform_calculate(middle="(datum.top + datum.bottom) / 2")
        )

    hovered = alt.selection_point(
        name="hovered", fields=["job"], on="pointerover", clear="pointerout", empty=False
    )
    yield (
        base.mark_rect(
            **inside, cornerRadius=3, fill="transparent", strokeWidth=2, cursor="default"
        )
        .encode(
            **across,
            x2="end",
            stroke=alt.when(hovered)
            .then(alt.value("currentColor"))
            .otherwise(alt.value("transparent")),
            description="spoken:N",
            tooltip=[alt.Tooltip(f"{field}:N", title=title) for field, title in TOLD.items()],
        )
        .add_params(hovered)
    )


def _rules(report: PlanReport) -> "Iterator[alt.Chart]":
    """Dashed lines where the plan ends and where no plan can end before, named above the lanes."""
    import altair as alt

    _, seconds = time_unit(report)
    marks = [("plan ends", report.makespan, -24), ("lower bound", report.lower_bound, -10)]
    data = [
        {
            "at": round(at / seconds, 4),
            "text": f"{text}: {duration(at)}",
            "row": row,
            "align": "right" if at > report.makespan / 4 else "left",
        }
        for text, at, row in marks
        if 0 < at <= report.makespan * (1 + 1e-6)  # the two may differ in the last bit
    ]
    base = alt.Chart(alt.InlineData(values=data)).encode(x="at:Q")
    yield base.mark_rule(
        color="currentColor",
        strokeDash=[4, 3],
        opacity=0.75,
        aria=False,
        y=alt.expr("datum.row - 5"),
        y2=alt.expr("height"),
    )
    yield base.mark_text(
        align=alt.expr("datum.align"),
        dx=alt.expr("datum.align == 'right' ? -5 : 5"),
        y=alt.expr("datum.row"),
        baseline="middle",
        text=alt.expr("datum.text"),
        fontSize=11,
        color="currentColor",
        aria=False,
    )
