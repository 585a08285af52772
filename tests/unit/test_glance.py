"""A glance at a samples file: exact where it is small, near where it is large, and never an error."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples_support import TEMPLATES, jsonl, prepare_file, written

from evalpack.errors import UserError
from evalpack.samples import Glance, glance, read_sidecar, sidecar_key
from evalpack.samples.glance import SAMPLES, UNKNOWN

Rows = Sequence[Mapping[str, Any]]
SUFFIXES = (".json", ".jsonl", ".csv", ".tsv", ".parquet")
MANY = 4 * SAMPLES
any_format = pytest.mark.parametrize("suffix", SUFFIXES)


def file_of(folder: Path, suffix: str, rows: Rows) -> Path:
    """The rows as a file of that format."""
    folder.mkdir(exist_ok=True)
    path = folder / f"samples{suffix}"
    if suffix == ".jsonl":
        return jsonl(path, *rows)
    if suffix == ".json":
        path.write_text(json.dumps(list(rows), ensure_ascii=False), encoding="utf-8")
    elif suffix == ".parquet":
        pd.DataFrame(list(rows)).to_parquet(path)
    else:
        separator = "\t" if suffix == ".tsv" else ","
        pd.DataFrame(list(rows)).to_csv(path, index=False, sep=separator)
    return path


def prepared(path: Path, **options: Any) -> Glance:
    """What `prepare` counts in the same file."""
    made = prepare_file(path, **options)
    given = {"template": None, "limit": None, "columns": {}, **options, "templates": TEMPLATES}
    known = read_sidecar(made.sidecar, sidecar_key(path, **given))
    assert known is not None
    return Glance.of(known)


def rows_of(count: int, prompt: str = "Is act {} justifiable?") -> list[dict[str, str]]:
    return [{"id": f"s{i}", "prompt": prompt.format(i)} for i in range(count)]


def near(guess: float, truth: float) -> bool:
    return abs(guess - truth) <= 0.2 * truth


class TestSmall:
    @any_format
    def test_it_is_exact_in_every_format(self, tmp_path: Path, suffix: str) -> None:
        rows = [*rows_of(7), {"id": "again", "prompt": "Is act 3 justifiable?"}]
        found = glance(file_of(tmp_path, suffix, rows))
        assert found == Glance(8, 7, 21, 21.0, exact=True)

    @any_format
    def test_a_limit_is_kept_to(self, tmp_path: Path, suffix: str) -> None:
        path = file_of(tmp_path, suffix, rows_of(9))
        assert glance(path, limit=4) == prepared(path, limit=4)
        assert glance(path, limit=4).samples == 4
        assert glance(path, limit=90).samples == 9

    def test_a_survey_has_a_sample_for_each_answer(self, tmp_path: Path) -> None:
        text = "B_COUNTRY,Q176,Q177,Q178\nDEU,1,2,\nDEU,-1,5,6\nITA,,-2,\n"
        path = written(tmp_path / "survey.csv", text)
        found = glance(path, templates=TEMPLATES)
        assert (found.samples, found.distinct_prompts) == (4, 3)
        assert found == prepared(path)
        assert glance(path, limit=3, templates=TEMPLATES) == prepared(path, limit=3)

    def test_columns_and_templates_are_those_of_prepare(self, tmp_path: Path) -> None:
        path = jsonl(tmp_path / "a.jsonl", {"nr": 1, "text": "why?"}, {"nr": 2, "text": "how?"})
        columns = {"sample_id": "nr", "prompt": "text"}
        assert glance(path, columns=columns) == prepared(path, columns=columns)

    def test_the_demos_survey_is_counted_as_prepare_counts_it(self) -> None:
        path = TEMPLATES.parent / "samples" / "demo_survey.csv"
        found = glance(path, template="moral_rating.j2", templates=TEMPLATES)
        assert (found.samples, found.exact) == (50, True)

    @settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        prompts=st.lists(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
            min_size=1,
            max_size=12,
        ),
        suffix=st.sampled_from(SUFFIXES),
        limit=st.none() | st.integers(1, 15),
    )
    def test_it_agrees_with_prepare_on_all_that_prepare_accepts(
        self, tmp_path: Path, prompts: list[str], suffix: str, limit: int | None
    ) -> None:
        rows = [{"id": f"s{i}", "prompt": prompt} for i, prompt in enumerate(prompts)]
        path = file_of(tmp_path, suffix, rows)
        found = glance(path, limit=limit)
        try:
            assert found == prepared(path, limit=limit)
        except UserError:  # a prompt of blanks
            assert found is UNKNOWN or found.exact


class TestLarge:
    @any_format
    @pytest.mark.parametrize(
        "prompt",
        [
            "Is act {} justifiable?",
            "Read this:\n\n- one\n- two\n\nIs {} just?",
            "آیا کار {} درست است؟",
        ],
        ids=["one line", "many lines", "Persian"],
    )
    def test_it_is_within_a_fifth(self, tmp_path: Path, suffix: str, prompt: str) -> None:
        found = glance(file_of(tmp_path, suffix, rows_of(MANY, prompt)))
        assert not found.exact
        assert near(found.samples, MANY)
        assert near(found.distinct_prompts, MANY)
        assert near(found.mean_prompt, len(prompt) + 2.5)

    @pytest.mark.parametrize("options", [{"indent": 4}, {"ensure_ascii": True}])
    def test_the_way_json_is_written_makes_no_difference(
        self, tmp_path: Path, options: dict[str, Any]
    ) -> None:
        rows = rows_of(MANY, "آیا {} درست است؟")
        path = tmp_path / "samples.json"
        path.write_text(json.dumps(rows, **{"ensure_ascii": False, **options}), encoding="utf-8")
        assert near(glance(path).samples, MANY)

    def test_blank_lines_are_no_samples(self, tmp_path: Path) -> None:
        lines = "\n\n".join(json.dumps(row) for row in rows_of(MANY))
        found = glance(written(tmp_path / "samples.jsonl", lines))
        assert near(found.samples, MANY)

    def test_a_survey_of_many_has_as_many_prompts_as_questions(self, tmp_path: Path) -> None:
        head = "B_COUNTRY," + ",".join(f"Q{q}" for q in range(176, 189))
        lines = [f"DEU,{','.join(str(1 + (i + q) % 10) for q in range(13))}" for i in range(4000)]
        path = written(tmp_path / "survey.csv", "\n".join([head, *lines, ""]))
        found = glance(path, templates=TEMPLATES)
        assert near(found.samples, 4000 * 13)
        assert found.distinct_prompts == 13

    def test_no_more_than_the_limit_is_expected(self, tmp_path: Path) -> None:
        path = file_of(tmp_path, ".csv", rows_of(MANY))
        assert glance(path, limit=SAMPLES + 500).samples == SAMPLES + 500
        few = glance(path, limit=SAMPLES)
        assert (few.samples, few.exact) == (SAMPLES, True)


class TestBroken:
    @any_format
    @settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(content=st.binary(max_size=200) | st.text('[]{}",:;\n\tid1prompt\\u').map(str.encode))
    def test_no_content_is_an_error(self, tmp_path: Path, suffix: str, content: bytes) -> None:
        found = glance(written(tmp_path / f"samples{suffix}", content))
        assert found.samples > 0

    @any_format
    def test_a_file_that_was_cut_short_is_unknown_or_what_is_left(
        self, tmp_path: Path, suffix: str
    ) -> None:
        path = file_of(tmp_path, suffix, rows_of(50))
        whole = path.read_bytes()
        for size in range(0, len(whole), 97):
            path.write_bytes(whole[:size])
            assert 0 < glance(path).samples <= UNKNOWN.samples

    @pytest.mark.parametrize("name", ["missing.csv", "samples.xlsx", "folder.csv", "no_suffix"])
    def test_what_is_no_samples_file_is_unknown(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "folder.csv").mkdir()
        assert glance(tmp_path / name) is UNKNOWN

    def test_a_missing_template_or_column_is_unknown(self, tmp_path: Path) -> None:
        path = file_of(tmp_path, ".csv", [{"id": 1, "topic": "theft"}])
        assert glance(path, template="gone.j2", templates=TEMPLATES) is UNKNOWN
        assert glance(path, columns={"prompt": "gone"}) is UNKNOWN
        assert glance(path) is UNKNOWN
