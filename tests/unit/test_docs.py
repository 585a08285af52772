"""The documentation keeps up with the code: no key, field or file of it is missing or made up."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from evalpack import journal, records, shards
from evalpack.atomic import read_json
from evalpack.attempts import Starts
from evalpack.engines.base import Answer
from evalpack.progress import Progress
from evalpack.runlock import RunLock

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "workflow" / "schemas"
CONFIG_README = (ROOT / "config" / "README.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
PROFILES = (ROOT / "profiles" / "README.md").read_text(encoding="utf-8")
# Folders at the top that hold the repository's own text, and nothing installed or written by a run.
WRITTEN = ("benchmarks", "config", "docs", "envs", "profiles", "tests", "workflow")
PAGES = sorted(
    [*ROOT.glob("*.md"), *(p for folder in WRITTEN for p in ROOT.glob(f"{folder}/**/*.md"))]
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)


def keys_of(schema: dict[str, Any]) -> Iterator[str]:
    """All keys that a schema describes, at every depth."""
    for key, below in schema.get("properties", {}).items():
        yield key
        yield from keys_of(below)
    if isinstance(schema.get("items"), dict):
        yield from keys_of(schema["items"])
    for choice in schema.get("oneOf", ()):
        yield from keys_of(choice)


def in_code(text: str) -> set[str]:
    """What stands in backquotes, with the last part of dotted names beside the whole."""
    found = set(re.findall(r"`([^`\n]+)`", text))
    return found | {name.rpartition(".")[2] for name in found}


def anchors(page: Path) -> set[str]:
    """The fragments that links to a page's headings use."""
    headings = HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_key_of_a_schema_is_explained_in_the_configuration_guide(path):
    keys = set(keys_of(yaml.safe_load(path.read_text(encoding="utf-8"))))
    assert keys
    assert keys <= in_code(CONFIG_README)


def test_every_field_of_a_record_is_a_row_of_the_results_guide_with_its_type():
    names = {
        "string": "text",
        "bool": "bool",
        "int32": "int32",
        "int64": "int64",
        "double": "float64",
    }
    for field in records.RESPONSE:
        row = re.search(rf"^\| `{field.name}` \| ([^|]+) \|", RESULTS, re.MULTILINE)
        assert row, field.name
        assert row[1].partition(" ")[0] == names[str(field.type)], field.name
        assert field.nullable or "null" not in row[1], field.name


def test_every_field_of_a_journal_line_and_a_shard_is_in_the_results_guide():
    answer = Answer("k", "t", "stop", 1, 1, 0.1, "2026-11-23T01:02:03.456Z")
    row = journal.answer_row(
        answer, env_id="", evaluation_type="server", max_tokens=1, max_model_len=None
    )
    assert {*row, *shards.SCHEMA.names, "crc"} <= in_code(RESULTS)


def test_every_field_of_the_small_files_is_in_the_results_guide(tmp_path):
    starts, beat, lock = (tmp_path / name for name in ("starts.json", "beat.json", "run.lock"))
    Starts(starts, "scope", 3).begin()
    with Progress(beat, "model 1-of-1", 1, 0):
        pass
    owner = RunLock(lock)
    owner.acquire()
    written = [read_json(path) for path in (starts, beat, lock)]
    owner.release()
    assert {key for value in written for key in value} <= in_code(RESULTS)


def test_every_entry_of_the_default_profile_is_explained():
    profile = yaml.safe_load((ROOT / "profiles" / "default" / "profile.yaml").read_text())
    explained = {re.match(r"[a-z-]*", name)[0] for name in in_code(PROFILES)}
    assert profile.keys() <= explained


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_and_a_heading_that_exist(page):
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, fragment = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), link
        if fragment and file.suffix == ".md":
            assert fragment in anchors(file), link
