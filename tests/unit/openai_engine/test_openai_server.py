"""Where a server is, and what it is."""

import json
import os
import subprocess
import sys

import pytest
from asking import Start, ask, ask_one, chat
from scripted_server import (
    Reply,
    ScriptedServer,
    models_reply,
)

from evalpack.engines.openai_endpoint import evaluation_type_of
from evalpack.errors import UserError


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("localhost", "local"),
        ("127.0.0.1", "local"),
        ("::1", "local"),
        ("192.168.3.4", "local"),
        ("fd00::7", "local"),
        ("workstation.local", "local"),
        ("gpu07", "local"),
        ("8.8.8.8", "api"),
        ("api.example.com", "api"),
        ("localhost.example.com", "api"),
    ],
)
def test_a_host_is_local_if_it_can_only_be_near(host: str, kind: str) -> None:
    assert evaluation_type_of(host) == kind


def test_an_api_gets_no_field_of_vllm_by_default(server: ScriptedServer, start: Start) -> None:
    engine = start(evaluation_type="api")
    ask_one(engine)
    assert engine.evaluation_type == "api"
    assert "top_k" not in server.posts[0].body


def test_vllm_tells_its_version(server: ScriptedServer, start: Start) -> None:
    server.pages["/v1/models"] = models_reply("m", owner="vllm")
    server.pages["/version"] = Reply({"version": "0.32.0"})
    assert start().env_id == "openai endpoint, vllm 0.32.0"


def test_ollama_is_known_and_gets_no_field_that_it_would_ignore(
    server: ScriptedServer, start: Start
) -> None:
    server.pages["/v1/models"] = models_reply("m:latest", owner="library")
    server.pages["/api/version"] = Reply({"version": "0.9.1"})
    engine = start()
    ask_one(engine)
    assert engine.env_id == "openai endpoint, ollama 0.9.1"
    assert "top_k" not in server.posts[0].body
    with pytest.raises(UserError, match=r"sampling\.top_k"):
        ask(engine, chat("q", top_k=5))


def test_a_server_that_does_not_tell_is_known_by_its_host(start: Start) -> None:
    assert start().env_id == "openai endpoint, 127.0.0.1"


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        (None, "is missing"),
        ("localhost:8000/v1", "write it like http://"),
        ("ftp://host/v1", "write it like http://"),
        ("http://user:secret@host/v1", "holds a password"),
        ("http://host/v1/chat/completions", "end it where /chat/completions would follow"),
    ],
)
def test_a_base_url_that_cannot_work_is_a_users_error(
    start: Start, url: str | None, complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint) as error:
        start(base_url=url)
    assert "secret" not in str(error.value)


def test_proxies_of_the_environment_serve_hosts_elsewhere_but_not_loopback(
    server: ScriptedServer, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # nobody there
    assert ask_one(start()).text == "q"
    monkeypatch.setenv("HTTP_PROXY", server.root)
    assert ask_one(start(base_url="http://models.example.com/v1")).text == "q"
    assert server.posts[-1].path == "http://models.example.com/v1/chat/completions"


def test_the_module_imports_no_framework() -> None:
    check = (
        "import sys, evalpack.engines.openai as _;"
        "print([m for m in ('torch', 'vllm', 'transformers') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert json.loads(told.stdout.replace("'", '"')) == []
