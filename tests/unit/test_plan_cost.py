"""The cost model against what was measured of vLLM."""

import pytest
from speed import Row, rows, table

ROWS = {row.name: row for row in rows()}


def test_all_rows_have_names_of_their_own() -> None:
    assert len(ROWS) == len(rows())


@pytest.fixture(scope="module")
def printed() -> str:
    """The table, on stdout once: `pytest -s` shows it, and so does the report of a failure."""
    text = table(list(ROWS.values()))
    print(f"\n{text}")
    return text


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_measurement_is_predicted_to_within_a_quarter(row: Row, printed: str) -> None:
    assert row.ratio == pytest.approx(1, abs=0.25), printed


def test_half_of_all_measurements_are_predicted_to_within_a_tenth(printed: str) -> None:
    off = sorted(abs(row.ratio - 1) for row in ROWS.values())
    assert off[len(off) // 2] < 0.1, printed


# The quicker of two by measurement is the quicker by prediction. Seconds are summed, speeds compared.
@pytest.mark.parametrize(
    ("quicker", "slower"),
    [
        (("8B eager start", "8B eager"), ("8B compiled warm start", "8B compiled warm")),
        (("8B 6 graphs start", "8B 6 graphs"), ("8B compiled warm start", "8B compiled warm")),
        (("8B two replicas",), ("8B TP2",)),
        (("8B two replicas start", "8B two replicas"), ("8B TP2 start", "8B TP2")),
        (("8B eager",), ("8B eager 512",)),
        (("8B compiled 256",), ("8B eager 256",)),
        (("1B compiled 256",), ("1B eager 256",)),
        (("1B eager 1024 again",), ("1B eager 256",)),
        (("1B eager",), ("3B eager",)),
        (("8B graphs start by parts", "8B graphs"), ("8B eager start by parts", "8B eager 256")),
        (("two 1B eager on one GPU",), ("1B graphs",)),
        (("two 1B graphs on one GPU",), ("two 1B eager on one GPU",)),
        (("32B compiled warm start",), ("32B compiled cold start",)),
    ],
)
def test_the_quicker_of_two_is_predicted_to_be_so(
    quicker: tuple[str, ...], slower: tuple[str, ...], printed: str
) -> None:
    for seconds in ("measured", "predicted"):
        first, second = (
            sum(getattr(ROWS[name], seconds) for name in names) for names in (quicker, slower)
        )
        assert first < second, f"{seconds}: {quicker} {first:.1f} s, {slower} {second:.1f} s"


@pytest.mark.parametrize(
    ("more", "less"),
    [("70B TP4", "70B TP2 twice"), ("gpt-oss-120b TP2", "gpt-oss-120b TP1")],
)
def test_the_one_of_more_tokens_a_second_is_predicted_to_be_so(more: str, less: str) -> None:
    assert ROWS[more].measured > ROWS[less].measured
    assert ROWS[more].predicted > ROWS[less].predicted


def test_a_sliding_window_beats_calls_of_128() -> None:
    calls, window = ROWS["8B calls of 128"], ROWS["8B eager"]
    each = [row.entry.get("requests", 5000) for row in (calls, window)]
    assert calls.measured / each[0] > 2 * window.measured / each[1]
    assert calls.predicted / each[0] > 2 * window.predicted / each[1]


def test_engines_that_share_a_gpu_help_a_1b_and_not_an_8b() -> None:
    assert ROWS["two 1B graphs on one GPU"].measured < 0.7 * ROWS["1B graphs"].measured
    assert ROWS["two 1B graphs on one GPU"].predicted < 0.7 * ROWS["1B graphs"].predicted
    for speed in ("measured", "predicted"):
        one, two = (getattr(ROWS[name], speed) for name in ("8B eager 2000", "two 8B on one GPU"))
        assert two < one


def test_what_was_measured_last_is_predicted_to_within_a_seventh(printed: str) -> None:
    rows = [row for name, row in ROWS.items() if "graphs" in name and "6" not in name]
    assert len(rows) == 6
    assert all(row.ratio == pytest.approx(1, abs=0.15) for row in rows), printed
