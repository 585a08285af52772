"""What the engine makes of a server's answers."""

import pytest
from asking import Start, ask, ask_one, chat
from scripted_server import (
    Body,
    Reply,
    ScriptedServer,
    text_reply,
)


def test_an_answer_carries_text_counts_and_times(server: ScriptedServer, start: Start) -> None:
    def respond(body: Body, _: int) -> Reply:
        reply = text_reply("Fine.", token_ids=[1, 2, 3])
        reply.delay = 0.2
        return reply

    server.respond = respond
    answer = ask_one(start())
    assert (answer.key, answer.text, answer.finish_reason) == ("q", "Fine.", "stop")
    assert (answer.prompt_tokens, answer.completion_tokens) == (7, 3)
    assert answer.token_ids == [1, 2, 3]
    assert answer.inference_time is not None
    assert 0.2 <= answer.inference_time < 2
    assert answer.finished[19:20] == "." and answer.finished.endswith("Z")


def test_text_of_any_script_survives_both_ways(server: ScriptedServer, start: Start) -> None:
    words = "Ist Lügen in Ordnung? 嘘は許されますか。 🤷🏽‍♀️ \u0000"
    assert ask_one(start(), chat("k", words)).text == words


def test_half_an_emoji_is_an_error_in_a_prompt_and_a_mark_in_an_answer(
    server: ScriptedServer, start: Start
) -> None:
    server.respond = lambda *_: Reply(
        b'{"choices": [{"message": {"content": "ok \\ud83d"}, "finish_reason": "length"}]}'
    )
    answers = {a.key: a for a in ask(start(), chat("bad", "\ud83d"), chat("good"))}
    assert answers["bad"].error is not None
    assert answers["bad"].error.permanent
    assert answers["good"].text == "ok \ufffd"


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_separated_reasoning_is_put_back_in_front(
    server: ScriptedServer, start: Start, name: str
) -> None:
    message = {"content": "\n7", name: "Let me see."}
    server.respond = lambda *_: text_reply("", message=message)
    assert ask_one(start()).text == "<think>Let me see.</think>\n\n7"


def test_reasoning_that_ate_all_tokens_stays_open(server: ScriptedServer, start: Start) -> None:
    message = {"content": None, "reasoning": "Let me"}
    server.respond = lambda *_: text_reply("", message=message, finish_reason="length")
    assert ask_one(start()).text == "<think>Let me"


def test_a_refusal_in_words_is_an_answer(server: ScriptedServer, start: Start) -> None:
    server.respond = lambda *_: text_reply("", message={"content": None, "refusal": "I can't."})
    assert ask_one(start()).text == "I can't."
