"""Faults of one request: what passes is tried again, what stays is recorded."""

import time
from email.utils import formatdate

import pytest
from asking import Start, ask, ask_one, chat
from scripted_server import (
    Body,
    Reply,
    ScriptedServer,
    error_reply,
    prompt_of,
    text_reply,
)

from evalpack.engines.base import EngineFailure


def test_a_server_that_asks_for_a_pause_gets_it(server: ScriptedServer, start: Start) -> None:
    server.respond = lambda body, n: (
        error_reply(429, "slow down", Retry_After="1") if n == 1 else text_reply("ok")
    )
    assert ask_one(start()).text == "ok"
    first, second = server.posts
    assert 1.0 <= second.at - first.at < 2.5


def test_a_pause_may_be_a_date(server: ScriptedServer, start: Start) -> None:
    def respond(_: Body, attempt: int) -> Reply:
        date = formatdate(time.time() + 2, usegmt=True)
        return error_reply(503, "later", Retry_After=date) if attempt == 1 else text_reply("ok")

    server.respond = respond
    assert ask_one(start()).text == "ok"
    first, second = server.posts
    assert 0.9 <= second.at - first.at < 4  # dates have whole seconds


def test_a_pause_holds_back_every_request(server: ScriptedServer, start: Start) -> None:
    server.respond = lambda body, n: (
        error_reply(429, "slow down", Retry_After="1")
        if (prompt_of(body), n) == ("first", 1)
        else text_reply("ok")
    )
    ask(start({"concurrency": 1}), chat("first"), chat("second"))
    assert server.posts[1].at - server.posts[0].at >= 1.0

    engine = start({"concurrency": 4})
    refused = len(server.posts)
    server.respond = lambda body, n: (
        error_reply(429, "slow down", Retry_After="1") if n == 1 else text_reply("ok")
    )
    assert all(a.text == "ok" for a in ask(engine, *(chat(f"k{i}") for i in range(4))))
    retried = [request.at for request in server.posts[refused:]][4:]
    assert min(retried) - server.posts[refused].at >= 1.0


def test_a_pause_of_hours_ends_the_job_instead(server: ScriptedServer, start: Start) -> None:
    server.respond = lambda *_: error_reply(429, "daily limit", Retry_After="86400")
    with pytest.raises(EngineFailure, match="left alone for 86400 s"):
        ask_one(start())


@pytest.mark.parametrize(
    "first",
    [
        error_reply(500, "oops"),
        error_reply(502, "bad gateway"),
        error_reply(408, "too slow"),
        error_reply(409, "conflict"),
        Reply(b'{"choices": [{"message": {"con'),
        Reply(b""),
        Reply({"choices": []}),
        Reply({"error": {"code": 503, "message": "upstream is gone"}}),
        text_reply("par", finish_reason="error"),
        Reply({"choices": [{"text": "x" * 100}]}, fate="half"),
        Reply(fate="reset"),
    ],
    ids=lambda reply: f"{reply.status}-{reply.fate}-{str(reply.body)[:20]}",
)
def test_what_may_pass_is_tried_again(server: ScriptedServer, start: Start, first: Reply) -> None:
    server.respond = lambda body, n: first if n <= 2 else text_reply("ok")
    answer = ask_one(start())
    assert (answer.text, answer.error) == ("ok", None)
    assert len(server.posts) == 3


def test_what_does_not_pass_becomes_an_error_worth_a_retry(
    server: ScriptedServer, start: Start
) -> None:
    server.respond = lambda body, _: (
        error_reply(500, "CUDA error") if prompt_of(body) == "bad" else text_reply("ok")
    )
    answers = {a.key: a for a in ask(start({"max_attempts": 3}), chat("bad"), chat("good"))}
    assert answers["good"].text == "ok"
    error = answers["bad"].error
    assert error is not None
    assert str(error) == "ServerError: HTTP 500: CUDA error (after 3 attempts)"
    assert not error.permanent


@pytest.mark.parametrize("fate", ["whole", "drip"])
def test_a_server_slower_than_the_timeout_is_a_timeout(
    server: ScriptedServer, start: Start, fate: str
) -> None:
    reply = text_reply("too late")
    reply.fate, reply.delay = fate, 5.0 if fate == "whole" else 0.0
    server.respond = lambda *_: reply
    begun = time.monotonic()
    answer = ask_one(start({"timeout": 0.3, "max_attempts": 2}))
    assert time.monotonic() - begun < 3
    assert answer.error is not None
    assert str(answer.error) == "Timeout: no whole answer within 0.3 s (after 2 attempts)"


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (error_reply(400, "This model's maximum context length is 1024 tokens."), "PromptTooLong"),
        (error_reply(400, "x", "context_length_exceeded"), "PromptTooLong"),
        (error_reply(413, "prompt is too long: 9 tokens > 8 maximum"), "PromptTooLong"),
        (error_reply(400, "max_tokens is too large: 9000"), "RefusedRequest"),
        (Reply({"detail": [{"msg": "field required"}]}, 422), "RefusedRequest"),
        (error_reply(400, "The response was filtered", "content_filter"), "ContentFilter"),
        (error_reply(403, "Your input was flagged by moderation"), "ContentFilter"),
        (text_reply("How to", finish_reason="content_filter"), "ContentFilter"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value.status),
)
def test_what_would_come_again_is_not_sent_again(
    server: ScriptedServer, start: Start, reply: Reply, kind: str
) -> None:
    server.respond = lambda body, _: reply if prompt_of(body) == "bad" else text_reply("ok")
    answers = {a.key: a for a in ask(start(), chat("bad"), chat("good"))}
    assert answers["good"].text == "ok"
    error = answers["bad"].error
    assert error is not None
    assert (error.type, error.permanent, answers["bad"].text) == (kind, True, None)
    assert len(server.posts) == 2
