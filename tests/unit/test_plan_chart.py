"""The plan's chart and page, without a browser: all jobs are there, and names stay text."""

import base64
import hashlib
import json
import re
import subprocess
import sys
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import plans
import pytest

from evalpack.plan.bars import blocks, colours, device_list, gigabytes, time_unit
from evalpack.plan.chart import page, svg, write_pages
from evalpack.plan.report import PlanReport
from evalpack.plan.schedule import Job, Placed, Schedule

TEN = plans.report(plans.lineup(), gpus=4)
NASTY = plans.report([plans.Asked(plans.HOSTILE, 16, 2)], gpus=2, notes=[plans.HOSTILE])


class Elements(HTMLParser):
    """The elements of a page, and the text of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.inside = ""
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts[-1] += data


@pytest.mark.parametrize("report", [TEN, plans.report(plans.many(46), gpus=8, slower=3)])
def test_every_job_is_drawn_on_every_gpu_it_takes(report: PlanReport) -> None:
    _, unit = time_unit(report)
    drawn = sorted(
        (block["job"], lane, round(block["begin"] * unit), round(block["end"] * unit))
        for block in blocks(report)
        for lane in range(block["top"], block["bottom"])
    )
    assert drawn == sorted(
        (number, device, pytest.approx(place.begin, abs=1), pytest.approx(place.end, abs=1))
        for number, place in enumerate(report.schedule.placed)
        for device in place.devices
    )


def test_neighbouring_gpus_are_one_block_and_others_are_not() -> None:
    job = Job("qwen2.5-72b", 1, 1, 3, start=10, generate=90)
    spread = replace(TEN, schedule=Schedule(4, (Placed(job, 0.0, (0, 1, 3)),)))
    assert [(block["top"], block["bottom"]) for block in blocks(spread)] == [(0, 2), (3, 4)]


def test_start_up_ends_where_generating_begins() -> None:
    _, unit = time_unit(TEN)
    for block in blocks(TEN):
        job = TEN.schedule.placed[block["job"]].job
        assert (block["warm"] - block["begin"]) * unit == pytest.approx(job.start, abs=1)


def test_the_chart_begins_with_the_lead_in_where_there_is_one() -> None:
    late = plans.report(plans.lineup(), gpus=4, lead=90.0)
    _, unit = time_unit(late)
    assert min(block["begin"] for block in blocks(late)) * unit == pytest.approx(90, abs=1)
    said = "vLLM is imported, once for all jobs"
    assert f"{said}: 1 min 30 s" in svg(late)
    assert said in page(late)
    assert said not in svg(TEN) + page(TEN)


def test_ten_models_have_ten_colours_and_more_differ_from_what_ran_before() -> None:
    assert len(set(colours(TEN).values())) == 10
    report = plans.report(plans.many(46), gpus=8)
    colour, before = colours(report), dict[int, str]()
    for place in report.schedule.placed:
        for device in place.devices:
            other = before.get(device, place.job.model)
            assert other == place.job.model or colour[other] != colour[place.job.model]
            before[device] = place.job.model


def test_a_name_of_markup_stays_a_name() -> None:
    found = Elements(page(NASTY))
    tags = [tag for tag, _ in found.tags]
    assert tags.count("script") == 3
    assert "img" not in tags
    specification = json.loads(found.scripts[0])
    assert plans.HOSTILE in {
        row.get("model") for rows in specification["datasets"].values() for row in rows
    }
    drawn = ElementTree.fromstring(svg(NASTY))  # noqa: S314
    names = {element.tag.rpartition("}")[2] for element in drawn.iter()}
    assert names <= {"svg", "g", "path", "text", "title", "rect", "line", "defs", "clipPath"}
    assert plans.HOSTILE in "".join(drawn.itertext())


def test_the_policy_runs_the_pages_own_scripts_and_no_other() -> None:
    found = Elements(page(NASTY))
    policy = next(a["content"] for _, a in found.tags if "http-equiv" in a)
    assert policy is not None
    named = re.findall(r"'sha256-([^']+)'", policy)
    digests = [hashlib.sha256(script.encode()).digest() for script in found.scripts[1:]]
    assert named == [base64.b64encode(digest).decode() for digest in digests]
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy


def test_the_page_refers_to_no_network() -> None:
    text = page(TEN)
    refers = {
        value
        for _, attributes in Elements(text).tags
        for name, value in attributes.items()
        if name in {"src", "href", "data", "action", "srcset", "poster"}
    }
    assert refers == {"data:,"}
    # Namespaces, the schema's name, and two links in Vega's own words, which nothing follows.
    hosts = set(re.findall(r"https?://([\w.-]+)", text))
    assert hosts <= {"www.w3.org", "vega.github.io", "github.com"}


def test_equal_plans_give_equal_files(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_pages(tmp_path / folder, plans.report(plans.lineup(), gpus=4))
    for name in ("plan.html", "plan.svg"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["plan.html", "plan.svg"]


def test_three_hundred_models_on_64_gpus_are_drawn_soon_and_small(tmp_path: Path) -> None:
    report = plans.report(plans.many(300), gpus=64)
    begun = time.monotonic()
    write_pages(tmp_path, report)
    assert time.monotonic() - begun < 60
    assert (tmp_path / "plan.html").stat().st_size < 1_500_000


def test_a_plan_of_nothing_is_a_page_too(tmp_path: Path) -> None:
    write_pages(tmp_path, replace(TEN, rows=[], schedule=Schedule(4, ()), lower_bound=0.0))
    assert "0 models, 0 jobs" in (tmp_path / "plan.html").read_text()


def test_totals_say_what_the_plan_costs_and_spares() -> None:
    text = page(TEN)
    assert f"{TEN.cost:,.2f} USD" in text
    assert f"{TEN.one_at_a_time / TEN.makespan:.2f}×" in text
    assert "no price given" in page(replace(TEN, price=None))


def test_units_fit_their_numbers() -> None:
    assert [gigabytes(size) for size in (269e6, 16.06e9, 141e9)] == ["0.27 GB", "16.1 GB", "141 GB"]
    assert device_list((5, 0, 1, 2)) == "0–2, 5"


@pytest.mark.parametrize("slower", [0.01, 1, 5, 200])
def test_the_time_axis_counts_in_plain_numbers(slower: float) -> None:
    drawn = svg(plans.report(plans.lineup(), gpus=4, slower=slower))
    axis = drawn.split('class="mark-text role-axis-label"')[1].split("</g>")[0]
    labels = re.findall(r">([^<>]+)</text>", axis)
    assert len(labels) > 3
    assert labels == sorted(labels, key=float)
    assert all(re.fullmatch(r"\d+(\.\d)?", label) for label in labels)


def test_importing_the_chart_loads_no_drawing_library() -> None:
    code = "import sys, evalpack.plan.chart as _; print({'altair', 'vl_convert', 'jinja2'} & {*sys.modules})"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
