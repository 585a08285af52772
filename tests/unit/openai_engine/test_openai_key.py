"""The key reaches the server and nobody else."""

import logging

import pytest
from asking import KEY, Start, ask, ask_one, chat
from scripted_server import (
    Reply,
    ScriptedServer,
    error_reply,
    prompt_of,
    text_reply,
)

from evalpack.engines.base import EngineFailure
from evalpack.errors import UserError


def test_the_key_is_sent_and_told_to_nobody(
    server: ScriptedServer,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("EVALPACK_TEST_KEY", f"{KEY}\n")
    caplog.set_level(logging.DEBUG)
    shown = f"you sent Bearer {KEY}"
    replies = {
        "answer": text_reply(shown),
        "refused": error_reply(400, shown),
        "broken": Reply(f"<p>{shown}</p>".encode(), 500),
        "denied": error_reply(401, shown),
    }
    server.respond = lambda body, _: replies[prompt_of(body)]
    engine = start({"max_attempts": 2, "concurrency": 1}, api_key_env="EVALPACK_TEST_KEY")
    answers = ask(engine, chat("answer"), chat("refused"), chat("broken"))
    with pytest.raises(EngineFailure) as failure:
        ask(engine, chat("denied"))
    assert {request.headers["authorization"] for request in server.posts} == {f"Bearer {KEY}"}
    assert "[key]" in str(failure.value)
    told = [caplog.text, repr(answers), repr(engine), repr(vars(engine)), engine.env_id]
    told += [repr(vars(engine._client))]
    error: BaseException | None = failure.value
    while error is not None:
        told += [str(error), repr(error), repr(vars(error))]
        error = error.__context__
    assert not [text for text in told if KEY in text]


def test_a_short_stand_in_for_a_key_is_left_in_answers(
    server: ScriptedServer, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVALPACK_TEST_KEY", "ollama")
    answer = ask_one(start(api_key_env="EVALPACK_TEST_KEY"), chat("k", "ollama is a tool"))
    assert answer.text == "ollama is a tool"


def test_a_missing_variable_is_named(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVALPACK_TEST_KEY", raising=False)
    with pytest.raises(UserError, match="environment variable EVALPACK_TEST_KEY is not set"):
        start(api_key_env="EVALPACK_TEST_KEY")


@pytest.mark.parametrize("key", [KEY, "gsk_abcDEF123456"])
def test_a_key_in_the_place_of_its_variable_is_not_repeated(start: Start, key: str) -> None:
    with pytest.raises(UserError, match="never the key itself") as error:
        start(api_key_env=key)
    assert key not in str(error.value)


def test_a_key_that_no_header_can_carry_is_refused_unseen(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVALPACK_TEST_KEY", f"{KEY}\n{KEY}")
    with pytest.raises(UserError, match="EVALPACK_TEST_KEY holds spaces, line breaks") as error:
        start(api_key_env="EVALPACK_TEST_KEY")
    assert KEY not in str(error.value)
