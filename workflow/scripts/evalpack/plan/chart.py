"""The plan to look at: `plan.html`, a page that needs nothing but itself, and `plan.svg`.

Names of models come from outside. In the page they pass Jinja's escaping or lie in a JSON block that
no `<` can leave, and the page's policy runs no script but the three that are written here.
"""

import base64
import hashlib
import re
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalpack.atomic import replacing
from evalpack.plan.bars import colours, gigabytes
from evalpack.plan.gantt import description, gantt
from evalpack.plan.report import ModelRow, PlanReport, duration

if TYPE_CHECKING:
    from jinja2 import Environment

SVG_WIDTH = 1080
_GLOBAL = "window.vegaEmbed = vegaEmbed;"


def write_pages(folder: Path, report: PlanReport) -> None:
    """Write `plan.html` and `plan.svg` into a folder, each whole or not at all.

    Raises:
        OSError: if the folder cannot be written.
    """
    for name, text in (("plan.svg", svg(report)), ("plan.html", page(report))):
        with replacing(folder / name) as scratch:
            scratch.write_text(text, encoding="utf-8")


def svg(report: PlanReport) -> str:
    """The chart alone, on white, with a title; a viewer shows what a job is where it is pointed at."""
    import vl_convert

    title = f"{report.run}: {_counted(len(report.rows), 'model')} on {_pool(report)}"
    drawn = vl_convert.vegalite_to_svg(
        gantt(report, SVG_WIDTH, title) | {"background": "white"}, show_warnings=True
    )
    # Vega writes accessible names, which pointers do not show; SVG's own hover text is an element.
    return re.sub(
        r'(<path aria-label="([^"<>]*)"[^>]*?)(?:/>|></path>)',
        r"\1><title>\2</title></path>",
        drawn,
    )


def page(report: PlanReport) -> str:
    """The page: totals, chart, models, notes."""
    scripts = [_vega(), _asset("plan.js")]
    fills = colours(report)
    return (
        _environment()
        .get_template("plan.html.j2")
        .render(
            report=report,
            pool=_pool(report),
            jobs=_counted(len(report.schedule.placed), "job"),
            models=_counted(len(report.rows), "model"),
            tiles=_tiles(report),
            rows=[_row(row, report, fills[row.model]) for row in report.rows],
            described=description(report),
            spec=gantt(report, "container"),
            style=_asset("plan.css"),
            scripts=scripts,
            hashes=[_hash(script) for script in scripts],
        )
    )


def _tiles(report: PlanReport) -> list[tuple[str, str, str]]:
    """What the plan comes to: name, value, and what to know beside it."""
    schedule = report.schedule
    hours = report.gpu_hours
    cost = "no price given"
    if report.cost is not None:
        cost = f"{report.cost:,.2f} {report.currency} at {report.price:,.2f} a GPU-hour"
    return [
        ("From start to end", duration(report.makespan), f"found by {report.solved_by}"),
        ("GPU-hours", f"{hours:,.{1 if hours > 1 else 2}f}", cost),
        ("GPUs busy", f"{schedule.busy_share:.0%}", f"generating {schedule.generating_share:.0%}"),
        _against("One model at a time", report.one_at_a_time, report.makespan),
        _against("In three phases", report.phases, report.makespan),
        (
            "Lower bound",
            duration(report.lower_bound),
            f"the plan is {report.gap:.1%} above it"
            if report.gap > 5e-4
            else "the plan reaches it",
        ),
    ]


def _against(name: str, other: float, mine: float) -> tuple[str, str, str]:
    factor = f"{other / mine:.2f}×" if mine else "–"
    return name, factor, f"as long: {duration(other)}"


def _row(row: ModelRow, report: PlanReport, fill: str) -> dict[str, Any]:
    """A model as the table shows it, with the numbers that it sorts by."""
    parts = {"weights": row.weights_each, "KV cache": row.kv_each, "other": row.other_each}
    total = sum(parts.values())
    return {
        "row": row,
        "fill": fill,
        "weights": "–" if row.weight_bytes is None else gigabytes(row.weight_bytes),
        "memory": gigabytes(total),
        "memory_bytes": total,
        "parts": ", ".join(f"{name} {gigabytes(size)}" for name, size in parts.items()),
        "shares": [
            round(100 * size / report.gpu_memory, 1) if report.gpu_memory else 0
            for size in parts.values()
        ],
        "start": duration(row.start),
        "generate": duration(row.generate),
        "finish": duration(row.finish),
    }


def _pool(report: PlanReport) -> str:
    memory = f" ({gigabytes(report.gpu_memory)} each)" if report.gpu_memory else ""
    return f"{report.gpus} × {report.gpu_type}{memory}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("evalpack.plan", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _asset(name: str) -> str:
    return resources.files("evalpack.plan").joinpath("pages", name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _vega() -> str:
    """Vega, Vega-Lite and Vega-Embed in one script, out of the package that draws the SVG."""
    import vl_convert

    bundle: str = vl_convert.javascript_bundle(_GLOBAL)
    # Inside a script element nothing is escaped: these two alone would end it or hide its end.
    return bundle.replace("</script", r"<\/script").replace("<!--", r"<\!--")


def _hash(script: str) -> str:
    """A script as a content security policy names it."""
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
