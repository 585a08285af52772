"""What the engine sends to a server."""

from typing import Any

import pytest
from asking import GREEDY, Start, ask, ask_one, chat
from scripted_server import (
    Reply,
    ScriptedServer,
)

from evalpack.engines.base import Request
from evalpack.errors import UserError


def test_a_local_server_gets_every_field_of_vllm_stated(
    server: ScriptedServer, start: Start
) -> None:
    ask_one(start(), chat("q", top_p=0.9, seed=0, stop=["\n"], thinking_token_budget=0))
    (request,) = server.posts
    assert request.path == "/v1/chat/completions"
    assert request.body == {
        "model": "m",
        "messages": [{"role": "user", "content": "q"}],
        "n": 1,
        "stream": False,
        "max_tokens": 16,
        "temperature": 0.0,
        "top_p": 0.9,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "top_k": 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "min_tokens": 0,
        "ignore_eos": False,
        "stop_token_ids": [],
        "bad_words": [],
        "include_stop_str_in_output": False,
        "skip_special_tokens": True,
        "spaces_between_special_tokens": True,
        "return_token_ids": True,
        "seed": 0,
        "stop": ["\n"],
        "thinking_token_budget": 0,
    }


def test_the_openai_dialect_states_what_openai_knows_and_nothing_else(
    server: ScriptedServer, start: Start
) -> None:
    engine = start({"dialect": "openai", "max_tokens_field": "max_completion_tokens"})
    ask_one(engine, chat("q", top_k=-1, repetition_penalty=1.0, logit_bias={"5": 1.0}))
    assert server.posts[0].body == {
        "model": "m",
        "messages": [{"role": "user", "content": "q"}],
        "n": 1,
        "stream": False,
        "max_completion_tokens": 16,
        "temperature": 0.0,
        "top_p": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "logit_bias": {"5": 1.0},
    }


def test_a_completion_prompt_is_sent_as_it_is(server: ScriptedServer, start: Start) -> None:
    server.respond = lambda body, _: Reply(
        {"choices": [{"text": body["prompt"].upper(), "finish_reason": "length"}]}
    )
    request = Request("k", None, "once upon\n", GREEDY)
    answer = ask_one(
        start(served_model="base-7b", name="x", args={"check_served_model": False}), request
    )
    assert server.posts[0].path == "/v1/completions"
    assert server.posts[0].body["prompt"] == "once upon\n"
    assert server.posts[0].body["model"] == "base-7b"
    assert (answer.text, answer.finish_reason) == ("ONCE UPON\n", "length")
    assert (answer.prompt_tokens, answer.completion_tokens, answer.token_ids) == (None, None, None)


@pytest.mark.parametrize(
    ("field", "value"),
    [("top_k", 5), ("min_p", 0.1), ("stop_token_ids", [2]), ("ignore_eos", True)],
)
def test_a_field_that_openai_lacks_is_refused_by_name(
    start: Start, field: str, value: object
) -> None:
    with pytest.raises(UserError, match=rf"sampling\.{field} .*dialect: vllm"):
        ask(start({"dialect": "openai"}), chat("q", **{field: value}))


@pytest.mark.parametrize(
    ("sampling", "complaint"),
    [
        ({"temprature": 1.0}, "temprature is unknown"),
        ({"structured_outputs": {"json": {}}}, "structured_outputs is not supported"),
        ({"n": 2}, "n must stay 1"),
        ({"logprobs": 5}, "logprobs cannot be 5"),
        ({"max_tokens": None}, "max_tokens is not set"),
    ],
)
def test_sampling_that_cannot_be_sent_is_a_users_error(
    start: Start, sampling: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint):
        ask(start(), chat("q", **sampling))


def test_a_field_that_a_server_refuses_can_be_left_out_at_its_default_only(
    server: ScriptedServer, start: Start
) -> None:
    engine = start({"omit_fields": ["temperature", "presence_penalty"], "dialect": "openai"})
    ask(engine, chat("q", temperature=1.0))
    assert not {"temperature", "presence_penalty"} & server.posts[0].body.keys()
    with pytest.raises(UserError, match=r"omit_fields holds `temperature`.*0\.0"):
        ask(engine, chat("q"))


def test_extra_body_is_added_but_overrides_nothing(server: ScriptedServer, start: Start) -> None:
    ask(start({"extra_body": {"reasoning_effort": "low"}}), chat("q"))
    assert server.posts[0].body["reasoning_effort"] == "low"
    with pytest.raises(UserError, match=r"extra_body\.temperature"):
        ask(start({"extra_body": {"temperature": 1}}), chat("q"))


def test_a_chat_template_goes_to_vllm_and_is_refused_elsewhere(
    server: ScriptedServer, start: Start
) -> None:
    template = {"chat_template": "{{ x }}", "chat_template_kwargs": {"date_string": "1 Jan 2026"}}
    ask(start(**template), chat("q"))
    assert {name: server.posts[0].body[name] for name in template} == template
    with pytest.raises(UserError, match="chat_template and chat_template_kwargs cannot be sent"):
        start({"dialect": "openai"}, **template)


def test_an_unknown_engine_argument_is_named(start: Start) -> None:
    with pytest.raises(UserError, match="`gpu_memory_utilization`; known keys are backoff"):
        start({"gpu_memory_utilization": 0.9})
