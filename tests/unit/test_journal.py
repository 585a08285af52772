"""The journal: what finished stands, what is torn or damaged is no answer."""

import json
import os
import signal
import subprocess
import sys
import time

from evalpack.clock import utc_now
from evalpack.engines.base import Answer, AnswerError
from evalpack.journal import Journal, JournalWriter, answer_row, parse_line, stands


def row(key="k1", text="Rating: 7", finish="stop", tokens=5, max_tokens=512, error=None, **more):
    answer = Answer(key, text, finish, 10, tokens, 0.5, utc_now(), [1, 2], error)
    limits = {"max_tokens": max_tokens, "max_model_len": 2048, **more}
    return answer_row(answer, env_id="e", evaluation_type="server", **limits)


def write(folder, *rows, settings="s"):
    with JournalWriter(folder, settings) as writer:
        for r in rows:
            writer.append(r)
    return writer.path


def read(folder, settings="s", usable=lambda _: True):
    return Journal(folder, settings, usable)


def test_what_was_appended_is_read_back(tmp_path):
    rows = [row("a", "é – 十 \n\t\u2028"), row("b"), row("c", None, None, None)]
    write(tmp_path, *rows)
    assert list(read(tmp_path).rows()) == rows


def test_files_of_other_settings_are_not_read(tmp_path):
    write(tmp_path, row("a"), settings="old")
    assert not read(tmp_path, "new").keys()


def test_an_answer_is_on_disk_when_its_writer_is_killed(tmp_path):
    code = (
        "import sys, time; sys.path.insert(0, 'tests/unit')\n"
        "from test_journal import row, JournalWriter; from pathlib import Path\n"
        f"w = JournalWriter(Path({str(tmp_path)!r}), 's')\n"
        "for i in range(100): w.append(row(f'k{i}'))\n"
        "print('written', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"written\n"
        child.send_signal(signal.SIGKILL)
    assert len(read(tmp_path).keys()) == 100


def test_cut_at_every_byte_of_the_last_record_only_that_record_is_lost(tmp_path):
    path = write(tmp_path, row("a"), row("b"))
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for end in range(first, len(whole)):
        path.write_bytes(whole[:end])
        journal = read(tmp_path)
        assert list(journal.keys()) == ["a"]
        assert journal.damaged == (end > first)


def test_zeros_after_a_power_cut_are_damage_not_answers(tmp_path):
    path = write(tmp_path, row("a"))
    path.write_bytes(path.read_bytes() + b"\0" * 4096)
    journal = read(tmp_path)
    assert list(journal.keys()) == ["a"]
    assert journal.damaged == 1


def test_any_flipped_bit_is_noticed(tmp_path):
    line = write(tmp_path, row("a")).read_bytes()
    for position in range(len(line)):
        flipped = bytearray(line)
        flipped[position] ^= 4
        assert parse_line(bytes(flipped)) is None, bytes(flipped)


def test_a_line_without_its_checksum_is_no_answer():
    assert parse_line(json.dumps(row("a")).encode() + b"\n") is None


def test_a_writer_without_an_answer_leaves_no_file(tmp_path):
    write(tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_answer_beats_an_error_whichever_came_first(tmp_path):
    failed = row("a", None, None, None, error=AnswerError("ServerError", "500", permanent=False))
    write(tmp_path, row("a"), failed)
    assert [r["error"] for r in read(tmp_path).rows()] == [None]


def test_half_a_surrogate_pair_from_a_server_is_replaced(tmp_path):
    write(tmp_path, row("a", "broken \ud83d"))
    assert [r["text"] for r in read(tmp_path).rows()] == ["broken ?"]


def test_lines_reach_the_disk_within_a_second_or_so(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    with JournalWriter(tmp_path, "s") as writer:
        writer.append(row("a"))
        deadline = time.monotonic() + 10
        while not synced and time.monotonic() < deadline:
            time.sleep(0.05)
        assert synced


class TestStands:
    """Which answers are good under changed limits."""

    def test_an_answer_that_stopped_by_itself_stands_while_it_is_short_enough(self):
        assert stands(row(tokens=100), 512, 2048)
        assert stands(row(tokens=100), 100, 2048)
        assert not stands(row(tokens=100), 99, 2048)

    def test_a_truncated_answer_stands_only_under_the_limit_that_cut_it(self):
        cut = row(finish="length", tokens=512)
        assert stands(cut, 512, 2048)
        assert stands(cut, 512, 4096)
        assert not stands(cut, 1024, 2048)

    def test_an_answer_cut_by_the_context_is_tried_again_with_more_context(self):
        cut = row(finish="length", tokens=300)
        assert stands(cut, 512, 2048)
        assert not stands(cut, 512, 4096)

    def test_only_permanent_errors_stand(self):
        refused = AnswerError("RefusedRequest", "no", permanent=True)
        failed = AnswerError("ServerError", "500", permanent=False)
        assert stands(row(text=None, error=refused), 512, 2048)
        assert not stands(row(text=None, error=failed), 512, 2048)

    def test_a_prompt_that_was_too_long_is_tried_again_with_more_context(self):
        long = row(text=None, error=AnswerError("PromptTooLong", "3000 tokens", permanent=True))
        assert stands(long, 512, 2048)
        assert not stands(long, 512, 4096)
