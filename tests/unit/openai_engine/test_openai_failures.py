"""Faults of a server: the job ends, saying what to check."""

import pytest
from asking import KEY, Start, ask, ask_one, chat
from scripted_server import (
    Reply,
    ScriptedServer,
    error_reply,
    models_reply,
)

from evalpack.engines.base import EngineFailure


def test_an_unreachable_server_is_said_at_the_start(server: ScriptedServer, start: Start) -> None:
    server.stop()
    with pytest.raises(EngineFailure, match=r"no answer from http.*that base_url is right"):
        start()


def test_a_server_that_goes_away_ends_the_job_and_its_answers_stand(
    server: ScriptedServer, start: Start
) -> None:
    answers = start({"concurrency": 2, "max_attempts": 2}).generate(
        chat(f"k{i}") for i in range(5000)
    )
    got = [next(answers)]
    server.stop()
    with pytest.raises(EngineFailure, match="check that the server runs"):
        got.extend(answers)
    assert len({answer.key for answer in got}) == len(got)
    assert all(answer.text == answer.key for answer in got if answer.error is None)
    assert len(got) < 5000


def test_a_server_out_of_order_does_not_make_thousands_of_error_rows(
    server: ScriptedServer, start: Start
) -> None:
    server.respond = lambda *_: error_reply(503, "no worker")
    got = []
    with pytest.raises(EngineFailure, match=r"8 requests in a row failed.*HTTP 503: no worker"):
        got.extend(
            start({"concurrency": 4, "max_attempts": 2}).generate(chat(f"k{i}") for i in range(999))
        )
    assert len(got) < 12


@pytest.mark.parametrize(
    ("reply", "advice"),
    [
        (
            error_reply(401, "bad key"),
            "check the key in the environment variable EVALPACK_TEST_KEY",
        ),
        (error_reply(403, "not yours"), "EVALPACK_TEST_KEY"),
        (error_reply(402, "no credit"), "no credit left"),
        (error_reply(429, "over quota", "insufficient_quota"), "no credit left"),
        (error_reply(404, "The model does not exist"), "served_model .`m`.; the server lists `m`"),
        (Reply(b"404 page not found", 404), "usually ends in /v1"),
        (error_reply(400, "use another", "unsupported_parameter"), "max_tokens_field"),
        (error_reply(400, "--trust-request-chat-template is not set"), "start the server with"),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(value.status),
)
def test_what_every_request_would_meet_ends_the_job_with_advice(
    server: ScriptedServer,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    reply: Reply,
    advice: str,
) -> None:
    monkeypatch.setenv("EVALPACK_TEST_KEY", KEY)
    server.respond = lambda *_: reply
    with pytest.raises(EngineFailure, match=advice):
        ask(start({"concurrency": 1}, api_key_env="EVALPACK_TEST_KEY"), *map(chat, "abc"))
    assert len(server.posts) == 1


def test_a_refused_key_is_said_at_the_start(server: ScriptedServer, start: Start) -> None:
    server.pages["/v1/models"] = error_reply(401, "who are you?")
    with pytest.raises(EngineFailure, match="set api_key_env to the name"):
        start()


def test_a_model_that_is_not_served_is_said_at_the_start_with_those_that_are(
    server: ScriptedServer, start: Start
) -> None:
    server.pages["/v1/models"] = models_reply("mistral:7b", "llama3.1:8b", "qwen2.5:7b")
    with pytest.raises(
        EngineFailure, match=r"no model `llama-3\.1`; the server lists `llama3\.1:8b`,"
    ):
        start(served_model="llama-3.1")
    assert not server.posts
    assert start({"check_served_model": False}, served_model="llama-3.1")
    assert start(served_model="mistral:7b")


def test_a_server_without_a_list_of_models_is_taken_at_its_word(
    server: ScriptedServer, start: Start
) -> None:
    del server.pages["/v1/models"]
    assert ask_one(start()).text == "q"


def test_a_page_that_is_no_api_is_said_at_the_start(server: ScriptedServer, start: Start) -> None:
    server.pages["/v1/models"] = Reply(b"<html>Welcome</html>")
    with pytest.raises(EngineFailure, match="not in JSON; check base_url"):
        start()


def test_the_key_follows_no_redirect(
    server: ScriptedServer, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVALPACK_TEST_KEY", KEY)
    other = ScriptedServer()
    try:
        there = f"{other.root}/v1/chat/completions"
        server.respond = lambda *_: Reply(b"", 307, {"Location": there})
        with pytest.raises(EngineFailure, match=f"put the address it points to .{there}"):
            ask_one(start(api_key_env="EVALPACK_TEST_KEY"))
        assert not other.received
    finally:
        other.stop()
