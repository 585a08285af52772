"""Attempts: a job that only dies is given up, one that gets on is not; failed models are retried."""

from pathlib import Path

import pytest

from evalpack.attempts import MAX_VAIN_STARTS, Starts, note_retry, retries
from evalpack.engines.base import AnswerError

OOM = AnswerError("OutOfMemory", "no room for the KV cache", permanent=False)


def starts(folder: Path, scope: str = "owner/settings/0", allowed: int = 9) -> Starts:
    """The note as a new process reads it."""
    return Starts(folder / "starts" / "m" / "1-of-1.json", scope, allowed)


def test_a_first_start_has_hope(tmp_path: Path) -> None:
    assert not starts(tmp_path).hopeless


def test_the_third_start_without_an_answer_is_hopeless(tmp_path: Path) -> None:
    hopeless = []
    for _ in range(MAX_VAIN_STARTS):
        start = starts(tmp_path)
        hopeless.append(start.hopeless)
        start.begin()
    assert hopeless == [False, False, True]


def test_a_death_without_a_word_is_the_cause_unless_another_is_known(tmp_path: Path) -> None:
    start = starts(tmp_path)
    start.begin()
    assert starts(tmp_path).cause.type == "Killed"
    start.failed(OOM)
    assert starts(tmp_path).cause == OOM


def test_the_cause_is_that_of_the_last_start(tmp_path: Path) -> None:
    start = starts(tmp_path)
    start.begin()
    start.failed(OOM)
    starts(tmp_path).begin()
    assert starts(tmp_path).cause.type == "Killed"


def test_an_answer_makes_a_start_not_in_vain(tmp_path: Path) -> None:
    for _ in range(5):
        start = starts(tmp_path)
        assert not start.hopeless
        start.begin()
        start.progressed()
    assert starts(tmp_path).in_vain == 0
    assert starts(tmp_path).count == 5


def test_the_last_start_that_snakemake_allows_is_hopeless_even_with_answers(
    tmp_path: Path,
) -> None:
    """It would end the job for good, and with it the collecting of all other models."""
    hopeless = []
    for _ in range(4):
        start = starts(tmp_path, allowed=3)
        hopeless.append(start.hopeless)
        start.begin()
        start.progressed()
    assert hopeless == [False, False, False, True]


@pytest.mark.parametrize("allowed", [0, 1])
def test_a_job_that_is_hardly_retried_has_its_first_start_nonetheless(
    tmp_path: Path, allowed: int
) -> None:
    start = starts(tmp_path, allowed=allowed)
    assert not start.hopeless
    start.begin()
    start.progressed()
    assert starts(tmp_path, allowed=allowed).hopeless


@pytest.mark.parametrize("allowed", [0, 1, 3])
def test_a_start_is_the_last_when_all_retries_are_used_up(tmp_path: Path, allowed: int) -> None:
    last = []
    for _ in range(allowed + 1):
        start = starts(tmp_path, allowed=allowed)
        start.begin()
        last.append(start.last)
    assert last == [*[False] * allowed, True]


def test_starts_of_another_scope_do_not_count(tmp_path: Path) -> None:
    for _ in range(3):
        start = starts(tmp_path)
        start.begin()
        start.failed(OOM)
    assert starts(tmp_path).hopeless
    typed_again = starts(tmp_path, "another owner/settings/0")
    assert not typed_again.hopeless
    assert typed_again.cause.type == "Killed"


def test_a_torn_note_counts_from_zero(tmp_path: Path) -> None:
    start = starts(tmp_path)
    start.begin()
    note = tmp_path / "starts" / "m" / "1-of-1.json"
    note.write_text(note.read_text()[:20])
    assert starts(tmp_path).count == 0


def test_retries_are_counted_model_by_model(tmp_path: Path) -> None:
    path = tmp_path / "retries.json"
    assert retries(path) == {}
    note_retry(path, ["a", "b"])
    note_retry(path, ["b"])
    assert retries(path) == {"a": 1, "b": 2}
