"""plan.html in a real browser: it draws, answers a pointer, and runs nothing that a name says."""

from pathlib import Path
from xml.etree import ElementTree

import plans
import pytest
from chromium import Watched

from evalpack.plan.chart import write_pages
from evalpack.plan.report import PlanReport

pytestmark = pytest.mark.browser

BARS = "#chart path[aria-label*='shard']"
NASTY = (
    plans.HOSTILE,
    "<b>bold</b> &amp; 'quoted' \"twice\"",
    "javascript:alert(2)//{{7*7}}${alert(3)}",
    "a/very/long-name-" + "x" * 150,
)

REPORTS = {
    "ten": plans.report(plans.lineup(), gpus=4, notes=["Lengths are of a first thousand."]),
    "many": plans.report(plans.many(46), gpus=8, slower=3),
    "nasty": plans.report(
        [plans.Asked(name, 16, 1) for name in NASTY], gpus=3, notes=[plans.HOSTILE]
    ),
}

CONTRAST = """([ink, paper]) => {
  const shade = (text) => {
    const [r, g, b] = text.match(/[0-9.]+/g).map((n) => n / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
  };
  const fill = getComputedStyle(document.querySelector(ink)).fill;
  const [a, b] = [fill, getComputedStyle(document.querySelector(paper)).backgroundColor].map(shade);
  return Math.max(a, b) / Math.min(a, b);
}"""


@pytest.fixture(scope="module", params=list(REPORTS))
def written(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[PlanReport, Path]:
    report = REPORTS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    write_pages(folder, report)
    return report, folder


@pytest.mark.parametrize("width", [900, 1600])
def test_the_page_draws_every_bar_at_any_width(
    watched: Watched, written: tuple[PlanReport, Path], tmp_path: Path, width: int
) -> None:
    report, folder = written
    watched.page.set_viewport_size({"width": width, "height": 900})
    watched.open(folder / "plan.html")
    assert watched.page.locator(BARS).count() >= len(report.schedule.placed)
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert watched.page.evaluate(overflow) == 0
    wide = watched.page.locator("#chart svg").bounding_box()
    assert wide is not None
    assert 0.8 * width < wide["width"] < width
    watched.page.screenshot(path=tmp_path / "plan.png", full_page=True)


def test_the_charts_words_are_readable_in_light_and_dark(
    watched: Watched, written: tuple[PlanReport, Path]
) -> None:
    _, folder = written
    watched.open(folder / "plan.html")
    assert watched.page.evaluate(CONTRAST, ["#chart .role-axis-label text", "figure"]) > 7


def test_pointing_at_a_bar_tells_of_its_job(
    watched: Watched, written: tuple[PlanReport, Path]
) -> None:
    report, folder = written
    watched.open(folder / "plan.html")
    for number in range(min(len(report.schedule.placed), 4)):
        watched.page.locator(BARS).nth(number).hover()
        told = watched.page.locator("#vg-tooltip-element.visible")
        told.wait_for()
        job = report.schedule.placed[number].job
        assert told.locator("h2").inner_text() == job.model
        assert f"{job.shard} of {job.shards}" in told.inner_text()
        assert told.locator("img, b, script").count() == 0


def test_names_stay_text_in_page_and_table(
    watched: Watched, written: tuple[PlanReport, Path]
) -> None:
    report, folder = written
    watched.open(folder / "plan.html")
    shown = watched.page.locator("#models tbody th").all_text_contents()
    assert shown == [row.model for row in report.rows]
    assert watched.page.locator("img").count() == 0
    assert watched.page.locator("script").count() == 3


def test_columns_sort_by_keyboard(watched: Watched, written: tuple[PlanReport, Path]) -> None:
    report, folder = written
    watched.open(folder / "plan.html")
    watched.page.get_by_role("button", name="Finish").focus()
    names = watched.page.locator("#models tbody th")
    watched.page.keyboard.press("Enter")
    finish = {row.model: row.finish for row in report.rows}
    upwards = [finish[name] for name in names.all_text_contents()]
    assert upwards == sorted(upwards)
    watched.page.keyboard.press("Enter")
    assert [finish[name] for name in names.all_text_contents()] == sorted(upwards, reverse=True)
    assert watched.page.locator("th[aria-sort='descending']").inner_text().startswith("Finish")


def test_the_svg_opens_by_itself(watched: Watched, written: tuple[PlanReport, Path]) -> None:
    report, folder = written
    watched.page.goto((folder / "plan.svg").as_uri())
    assert watched.page.evaluate("document.documentElement.localName") == "svg"
    titles = ElementTree.parse(folder / "plan.svg").iter("{http://www.w3.org/2000/svg}title")  # noqa: S314
    told = " ".join(title.text or "" for title in titles)
    assert all(row.model in told for row in report.rows)
