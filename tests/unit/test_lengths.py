"""Engines are started for requests as long as they are, and a longer one takes what outgrows them."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import Run, question
from hypothesis import given
from hypothesis import strategies as st

from evalpack import shards
from evalpack.asks import Ask
from evalpack.engines.base import Answer, AnswerError, Message
from evalpack.generate import GenerateJob
from evalpack.jobs import Asking, ModelJob
from evalpack.journal import Journal
from evalpack.lengths import engine_lengths, longest_request, outgrown
from evalpack.models import Model
from evalpack.plan.workload import TEMPLATE_TOKENS

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
CONFIGURED = 8192


def ask(prompt: str | None = None, *turns: str, max_tokens: int = 64) -> Ask:
    messages = tuple(Message(role="user", content=turn) for turn in turns) or None
    sampling = {"max_tokens": max_tokens}
    return Ask({}, "default", 0, "key", messages, prompt, sampling, "", label_leak=False)


def job(max_model_len: int | None = CONFIGURED, gpus: int = 1, **model: Any) -> ModelJob:
    return ModelJob(Model("tiny", **model), (), gpus=gpus, max_model_len=max_model_len)


def answer(
    made: int | None = 10, prompt: int | None = 90, finish: str = "length", error: str | None = None
) -> Answer:
    wrong = AnswerError(error, "", permanent=True) if error else None
    return Answer("key", "text", finish, prompt, made, 0.1, "2026-11-23T01:02:03.456Z", error=wrong)


class TestBound:
    @given(TEXTS)
    def test_no_text_has_more_tokens_than_bytes(self, text: str) -> None:
        tokenizers = pytest.importorskip("tokenizers")
        alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
        vocabulary = {letter: number for number, letter in enumerate(sorted(alphabet))}
        bytewise = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, []))  # the most there are
        bytewise.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        assert longest_request(ask(text)) - 64 >= len(bytewise.encode(text).ids)

    @pytest.mark.parametrize(("text", "size"), [("", 0), ("abc", 3), ("naïve", 6), ("باد", 6)])
    def test_every_byte_counts_and_the_answer_too(self, text: str, size: int) -> None:
        assert longest_request(ask(text, max_tokens=7)) == size + 7

    @given(st.lists(TEXTS, min_size=1, max_size=5))
    def test_all_turns_of_a_chat_count(self, turns: list[str]) -> None:
        assert longest_request(ask(None, *turns)) == 64 + sum(len(turn.encode()) for turn in turns)

    def test_half_a_character_counts_as_something(self) -> None:
        assert longest_request(ask("a\ud800")) == 64 + 2


class TestEngineLength:
    @given(st.integers(16, 200_000), st.integers(0, 300_000))
    def test_it_is_what_is_needed_and_never_above_what_is_configured(
        self, most: int, longest: int
    ) -> None:
        first, *then = lengths = engine_lengths(job(most), longest)
        assert first is not None
        assert min(longest + TEMPLATE_TOKENS, most) <= first <= most
        assert first <= longest + TEMPLATE_TOKENS + 255
        assert then in ([], [most])
        assert lengths[-1] == most

    def test_prompts_of_about_one_length_start_engines_of_one_length(self) -> None:
        found = {tuple(engine_lengths(job(), longest)) for longest in range(513, 769)}
        assert len(found) == 1

    def test_a_chat_template_of_ones_own_is_room_as_well(self) -> None:
        plain = engine_lengths(job(), 512)[0]
        assert plain is not None
        assert engine_lengths(job(chat_template="x" * 2560), 512)[0] == plain + 2560

    def test_servers_elsewhere_and_what_the_checkpoint_says_are_left_alone(self) -> None:
        assert engine_lengths(job(None), 10) == [None]
        assert engine_lengths(job(gpus=0), 10) == [CONFIGURED]


class TestOutgrown:
    @pytest.mark.parametrize(
        "short",
        [
            answer(made=10, prompt=90),
            answer(made=9, prompt=90),  # vLLM ends a request one token early
            answer(made=None, prompt=None, error="PromptTooLong"),
        ],
    )
    def test_only_an_engine_that_is_not_the_longest_can_be_outgrown(self, short: Answer) -> None:
        assert outgrown(short, 100, 200, 64)
        assert not outgrown(short, 200, 200, 64)
        assert not outgrown(short, None, None, 64)

    @pytest.mark.parametrize(
        "whole",
        [
            answer(finish="stop"),
            answer(made=64, prompt=36),  # cut by max_tokens
            answer(made=10, prompt=40),  # cut by something else
            answer(made=None, prompt=None, error="Refused"),
        ],
    )
    def test_what_the_length_did_not_cut_stands(self, whole: Answer) -> None:
        assert not outgrown(whole, 100, 200, 64)


class TestJob:
    """GenerateJob on the fake engine, where a word is a token."""

    @pytest.fixture
    def run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
        monkeypatch.setenv("EVALPACK_TEST_ENGINE", "fake_engine:FakeEngine")
        monkeypatch.setenv("EVALPACK_FAKE_LOG", str(tmp_path / "engine.log"))
        monkeypatch.setenv("EVALPACK_LEASE_DIR", str(tmp_path / "leases"))
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        asking = Asking("default", {"temperature": 0.0, "max_tokens": 8})
        run = Run(tmp_path, [question(i) for i in range(6)], askings=[asking])
        run.jobs["tiny"] = replace(run.jobs["tiny"], shards=1, max_model_len=CONFIGURED)
        run.save()
        return run

    def generate(self, run: Run, monkeypatch: pytest.MonkeyPatch, template: int) -> list[str]:
        """Run the job where the chat template adds so many tokens; what the engine noted down."""
        monkeypatch.setenv("EVALPACK_FAKE", json.dumps({"template": {"tiny": template}}))
        GenerateJob(run.dir, "tiny", 1, 1, "params").run()
        return Path(os.environ["EVALPACK_FAKE_LOG"]).read_text().splitlines()

    def journal(self, run: Run) -> list[dict[str, Any]]:
        lines = [p.read_text().splitlines() for p in run.paths.journal("tiny").glob("*.jsonl")]
        rows = [json.loads(line) for of_file in lines for line in of_file]
        assert len({row["key"] for row in rows}) == len(rows), "a row is journalled twice"
        found = Journal(run.paths.journal("tiny"), run.settings("tiny"), lambda row: True)
        assert len(found.keys()) == len(rows)
        return rows

    def test_one_engine_of_the_needed_length_answers_what_fits(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log = self.generate(run, monkeypatch, template=0)
        assert [line for line in log if line.startswith("start")] == ["start tiny 1280"]
        assert [row["finish_reason"] for row in self.journal(run)] == ["stop"] * 6
        assert run.paths.measured("tiny", "1-of-1").exists()

    @pytest.mark.parametrize("template", [5000, 1268])  # too long to begin with, and cut half way
    def test_what_outgrows_it_is_answered_by_a_longer_one_and_journalled_once(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, template: int
    ) -> None:
        log = self.generate(run, monkeypatch, template)
        starts = [line for line in log if line.startswith("start")]
        assert starts == ["start tiny 1280", f"start tiny {CONFIGURED}"]
        assert log.index("close tiny") < log.index(f"start tiny {CONFIGURED}")
        rows = self.journal(run)
        assert [(row["finish_reason"], row["error"]) for row in rows] == [("stop", None)] * 6
        assert len(list(shards.read(run.paths.shard("tiny", 1, 1)))) == 6
        assert not run.paths.measured("tiny", "1-of-1").exists(), "two engines measure nothing"

    def test_what_is_too_long_for_any_is_an_error_of_the_longest(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.generate(run, monkeypatch, template=CONFIGURED)
        errors = [row["error"] for row in self.journal(run)]
        assert [error["type"] for error in errors] == ["PromptTooLong"] * 6


def test_without_a_configured_length_the_checkpoint_says_the_most(tmp_path: Path) -> None:
    assert engine_lengths(job(None), 300) == [None]  # vLLM reads it, whatever it is
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 131072}')
    short, most = engine_lengths(job(None), 300, str(tmp_path))
    assert 300 < (short or 0) < 4096
    assert most == 131072
    (tmp_path / "config.json").write_text('{"text_config": {"max_position_embeddings": 1024}}')
    assert engine_lengths(job(None), 300, str(tmp_path)) == [1024]
