"""Merging: every row once, from shards that are what the plan asked for, or an error that says why."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders import GREEDY, WARM, Run, answered, prepared, question

from evalpack import shards
from evalpack.atomic import sweep
from evalpack.engines.base import AnswerError
from evalpack.jobs import Asking
from evalpack.merge import MergeError

PAIR = (Asking("default", GREEDY), Asking("warm", WARM, n=2))
Change = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path, [question(i) for i in range(12)])
    run.write_shards()
    return run


def rewrite(run: Run, change: Change, index: int = 1, **settings: str) -> Path:
    """Write a shard again with other rows or settings."""
    path = run.shard_paths()[index - 1]
    rows = change(list(shards.read(path)))
    shards.write(path, rows, **{"settings": run.settings("tiny"), "params": "p", **settings})
    return path


def refusal(run: Run, **merge: str) -> str:
    """Why merging refuses; nothing is written, not even a part."""
    with pytest.raises(MergeError) as caught:
        run.merge(**merge)
    folder = run.paths.merged("tiny").parent
    assert not list(folder.iterdir())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_rows_stand_in_the_order_of_the_samples_whatever_that_of_the_shards(
    tmp_path: Path,
) -> None:
    run = Run(tmp_path, [question(i) for i in range(12)], askings=PAIR)
    run.write_shards(text=lambda ask: f"{ask.sample['sample_id']} {ask.condition} {ask.draw}")
    rows = run.merge()
    places = [(r["sample_id"], r["condition"], r["draw"]) for r in rows]
    assert places == [
        (f"s{i}", condition, draw)
        for i in range(12)
        for condition, draw in (("default", 0), ("warm", 0), ("warm", 1))
    ]
    assert [r["_text"] for r in rows] == [f"{s} {c} {d}" for s, c, d in places]
    assert {r["model"] for r in rows} == {"tiny"}


def test_samples_with_equal_prompts_all_get_the_one_answer(tmp_path: Path) -> None:
    rows = [{**question(0), "id": f"s{i}", "human_response": i + 1} for i in range(5)]
    run = Run(tmp_path, rows)
    run.write_shards()
    assert sum(len(list(shards.read(path))) for path in run.shard_paths()) == 1
    merged = run.merge()
    assert [r["sample_id"] for r in merged] == [f"s{i}" for i in range(5)]
    assert [r["human_response"] for r in merged] == [1, 2, 3, 4, 5]
    assert len({r["_text"] for r in merged}) == 1


def test_carried_columns_keep_their_types_and_nulls(tmp_path: Path) -> None:
    rows = [
        question(0, weight=0.5, wave=7, urban=True, note="ü\n1"),
        question(1, weight=None, wave=None, urban=None, note=None),
    ]
    run = Run(tmp_path, rows)
    run.write_shards()
    merged = run.merge()
    schema = pq.read_schema(run.paths.merged("tiny"))
    types = {name: schema.field(name).type for name in ("weight", "wave", "urban", "note")}
    wanted = {"weight": pa.float64(), "wave": pa.int64(), "urban": pa.bool_(), "note": pa.string()}
    assert types == wanted
    assert {name: merged[0][name] for name in wanted} == {name: rows[0][name] for name in wanted}
    assert {merged[1][name] for name in wanted} == {None}


def test_what_was_measured_stands_in_the_rows(run: Run) -> None:
    row = run.merge()[0]
    assert row["timestamp"] == "2026-11-23T01:02:03.456Z"
    assert (row["prompt_tokens"], row["completion_tokens"]) == (8, 5)
    assert row["inference_time"] == 0.5
    assert (row["env_id"], row["evaluation_type"]) == ("engine 1", "server")
    assert (row["question"], row["country"], row["prompt"]) == (
        "Q0",
        "DEU",
        "Is act 0 justifiable?",
    )


def test_an_error_is_its_type_and_message(run: Run) -> None:
    error = AnswerError("PromptTooLong", "9000 tokens: too many", permanent=True)
    run.write_shards(text=lambda _: error)
    row = run.merge()[0]
    assert row["error"] == "PromptTooLong: 9000 tokens: too many"
    assert (row["_text"], row["finish_reason"], row["inference_time"]) == (None, None, None)


def test_a_shard_without_rows_is_a_shard(tmp_path: Path) -> None:
    run = Run(tmp_path, [question(0)])
    run.write_shards()
    assert sorted(len(list(shards.read(path))) for path in run.shard_paths()) == [0, 1]
    assert len(run.merge()) == 1


def test_a_missing_key_names_its_row_and_the_folder_to_delete(run: Run) -> None:
    lost: list[str] = []

    def lose_first(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        lost.append(rows[0]["key"])
        return rows[1:]

    rewrite(run, lose_first)
    sample = next(a.sample["sample_id"] for a in run.asks() if a.key == lost[0])
    said = refusal(run)
    assert f"tiny: no answer to sample {sample}, condition default, draw 0" in said
    assert f"delete {run.paths.generations('tiny')} and run again" in said


def test_a_doubled_key_is_refused(run: Run) -> None:
    path = rewrite(run, lambda rows: [*rows, rows[0]])
    assert f"{path} holds a key twice; delete {path} and run again" in refusal(run)


def test_a_key_of_another_shard_is_refused(run: Run) -> None:
    other = next(shards.read(run.shard_paths()[1]))
    path = rewrite(run, lambda rows: [*rows, other])
    assert f"{path} holds key {other['key']}, which belongs elsewhere" in refusal(run)


def test_a_key_that_nobody_asked_for_is_refused(run: Run) -> None:
    stray = next(k for i in range(99) if shards.shard_of(k := f"{i:032x}", 2) == 1)
    rewrite(run, lambda rows: [*rows, answered(stray, "x")])
    assert f"tiny: 1 answers belong to no sample (key {stray})" in refusal(run)


@pytest.mark.parametrize("which", ["settings", "params"])
def test_a_shard_of_other_settings_is_refused(run: Run, which: str) -> None:
    path = rewrite(run, lambda rows: rows, index=2, **{which: "other"})
    assert f"{path} was made under other settings; delete {path}" in refusal(run)


def test_a_shard_of_another_version_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as before:
        before.setattr(shards, "SCHEMA_VERSION", shards.SCHEMA_VERSION + 1)
        path = rewrite(run, lambda rows: rows)
    assert f"{path} was made under other settings; delete {path}" in refusal(run)


def test_shards_of_the_params_before_are_refused(run: Run) -> None:
    assert "was made under other settings" in refusal(run, params="new")


def test_a_model_whose_weights_changed_does_not_take_the_old_answers(run: Run) -> None:
    Path(run.jobs["tiny"].model.path or "", "model.safetensors").write_text("new weights")
    assert "was made under other settings" in refusal(run)


@pytest.mark.parametrize("keep", [0, 3, 200, -1])
def test_a_damaged_shard_is_named(run: Run, keep: int) -> None:
    path = run.shard_paths()[0]
    path.write_bytes(path.read_bytes()[:keep])
    said = refusal(run)
    assert said.startswith(f"{path} is damaged (")
    assert f"delete {path} and run again" in said


@pytest.fixture(scope="module")
def flipped(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What merging comes to after one bit of a shard was flipped, at many places in turn."""
    run = Run(tmp_path_factory.mktemp("flipped"), [question(i) for i in range(12)])
    run.write_shards()
    path = run.shard_paths()[0]
    whole, rows = path.read_bytes(), run.merge()
    outcomes = set()
    for place in range(4, len(whole), 23):
        damaged = bytearray(whole)
        damaged[place] ^= 4
        path.write_bytes(damaged)
        try:
            outcomes.add("same rows" if run.merge() == rows else "other rows")
        except Exception as error:
            outcomes.add(type(error).__name__)
    return outcomes


def test_a_flipped_bit_never_becomes_another_answer(flipped: set[str]) -> None:
    assert "other rows" not in flipped


def test_a_flipped_bit_that_is_noticed_is_said_in_a_sentence(flipped: set[str]) -> None:
    assert flipped <= {"same rows", "MergeError"}


def test_a_shard_that_is_gone_is_named(run: Run) -> None:
    path = run.shard_paths()[1]
    path.unlink()
    assert f"{path} is damaged" in refusal(run)


def test_a_parquet_file_that_is_no_shard_is_named(run: Run) -> None:
    path = run.shard_paths()[0]
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["key"]), path)
    assert f"{path} is damaged (its columns are not those of a shard)" in refusal(run)


def test_what_a_killed_merge_left_is_swept_and_nothing_else(run: Run) -> None:
    run.merge()
    merged = run.paths.merged("tiny")
    (merged.parent / f".{merged.name}.0a1b2c3d.part").write_text("cut o")
    left = merged.parent / ".tiny-x.part"
    left.mkdir()
    (left / "answers.sqlite").write_text("half")
    sweep(run.dir)
    assert list(merged.parent.iterdir()) == [merged]
    assert all(path.exists() for path in (*run.shard_paths(), run.samples, run.paths.plan))


def test_samples_that_came_after_the_answers_are_missed(run: Run) -> None:
    prepared(run.dir, [question(i) for i in range(13)])
    assert "no answer to sample s12" in refusal(run)


def test_samples_that_went_after_the_answers_are_missed(run: Run) -> None:
    prepared(run.dir, [question(i) for i in range(10)])
    assert "2 answers belong to no sample" in refusal(run)


def test_a_prompt_that_was_changed_in_the_parquet_is_noticed(run: Run) -> None:
    table = pq.read_table(run.samples)
    place = table.schema.get_field_index("prompt")
    prompts = ["Is act 0 good?", *table["prompt"].to_pylist()[1:]]
    pq.write_table(table.set_column(place, table.schema.field(place), [prompts]), run.samples)
    assert "sample s0 does not match its digest" in refusal(run)


def test_merging_again_gives_the_same_bytes(run: Run) -> None:
    run.merge()
    before = run.paths.merged("tiny").read_bytes()
    run.merge()
    assert run.paths.merged("tiny").read_bytes() == before
