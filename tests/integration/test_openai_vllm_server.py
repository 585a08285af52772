"""The openai engine against vLLM's own server, with a real model on the CPU."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from evalpack.engines.base import Answer, EngineFailure, EngineSpec, Request
from evalpack.engines.openai import OpenAIEngine
from evalpack.models import Model

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]

SERVED = "smollm2:135m"
GREEDY = {"temperature": 0.0, "max_tokens": 48}
QUESTIONS = [
    "Is it acceptable to avoid paying a fare on public transport?",
    "Name three colours.",
    "What is the capital of France?",
    "Is lying ever justifiable? Answer briefly.",
    "Count from one to five.",
    "Write one sentence about the sea.",
    "¿Qué es la honestidad?",
    "Explain what a promise is.",
]


@pytest.fixture(scope="module")
def base_url(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running server's base_url."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("vllm") / "server.log"
    command = [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", str(smollm2), "--served-model-name", SERVED),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--max-model-len", "1024", "--enforce-eager"),
        # In bfloat16 so small a model's words depend on the CPU's instructions and on the batch.
        *("--dtype", "float32"),
    ]
    environment = {
        **os.environ,
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    with log.open("w") as out:
        server = subprocess.Popen(
            command, env=environment, stdout=out, stderr=out, start_new_session=True
        )
        try:
            _wait_until_up(server, f"http://127.0.0.1:{port}/health", log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            _end_with_children(server)


def _wait_until_up(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, trust_env=False).is_success:
                return
        time.sleep(0.5)
    pytest.fail(f"the server did not come up:\n{log.read_text()[-3000:]}")


def _end_with_children(server: subprocess.Popen[bytes]) -> None:
    """End the server and every process it started, whatever state they are in."""
    try:
        family = psutil.Process(server.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    server.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(timeout=20)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive


def engine(base_url: str, **model: Any) -> OpenAIEngine:
    entry = {"name": SERVED, "backend": "openai", "base_url": base_url, **model}
    return OpenAIEngine(EngineSpec(Model.from_mapping(entry), None))


def chat(key: str, words: str, **sampling: Any) -> Request:
    return Request(key, ({"role": "user", "content": words},), None, {**GREEDY, **sampling})


def ask(base_url: str, *requests: Request) -> dict[str, Answer]:
    """Answers by key."""
    asked = engine(base_url)
    try:
        answers = list(asked.generate(iter(requests)))
    finally:
        asked.close()
    assert len(answers) == len(requests)
    return {answer.key: answer for answer in answers}


def test_chats_and_completions_are_answered_with_real_text(base_url: str) -> None:
    chats = [chat(f"chat {i}", question) for i, question in enumerate(QUESTIONS)]
    prompts = ["Once upon a time", "The three primary colours are"]
    completions = [Request(f"text {i}", None, p, GREEDY) for i, p in enumerate(prompts)]
    answers = ask(base_url, *chats, *completions)
    assert answers.keys() == {request.key for request in [*chats, *completions]}
    for answer in answers.values():
        assert answer.error is None
        assert answer.text is not None
        assert len(answer.text.split()) >= 2
        assert answer.completion_tokens is not None
        assert answer.prompt_tokens is not None
        assert answer.prompt_tokens > 2
        assert answer.token_ids is not None
        assert len(answer.token_ids) == answer.completion_tokens <= 48
        assert answer.finish_reason in ("stop", "length")
        assert answer.finish_reason == "stop" or answer.completion_tokens == 48
        assert answer.inference_time is not None
        assert 0 < answer.inference_time < 120
    assert "Paris" in (answers["chat 2"].text or "")


def test_a_greedy_chat_asked_again_gets_the_same_text(base_url: str) -> None:
    answers = ask(base_url, *(chat(f"again {i}", QUESTIONS[0]) for i in range(3)))
    assert len({answer.text for answer in answers.values()}) == 1


def test_sampling_reaches_the_model(base_url: str) -> None:
    answers = ask(
        base_url,
        chat("short", QUESTIONS[7], max_tokens=5),
        chat("stopped", "Count from one to five.", stop=[" "]),
        chat("longer", "Say hi.", min_tokens=20, max_tokens=20),
        chat("one token", QUESTIONS[7], temperature=1.0, allowed_token_ids=[28], max_tokens=4),
    )
    assert (answers["short"].completion_tokens, answers["short"].finish_reason) == (5, "length")
    assert " " not in (answers["stopped"].text or "")
    assert answers["longer"].completion_tokens == 20
    assert answers["one token"].token_ids == [28] * 4


def test_an_overlong_prompt_is_an_error_of_its_own_row(base_url: str) -> None:
    answers = ask(
        base_url,
        chat("long", "word " * 3000),
        chat("full", "word " * 990),
        chat("fine", QUESTIONS[1]),
    )
    error = answers["long"].error
    assert error is not None
    assert (error.type, error.permanent) == ("PromptTooLong", True)
    assert "1024" in error.message
    assert answers["full"].error is None
    assert answers["fine"].error is None


def test_the_server_is_known_by_its_version(base_url: str) -> None:
    import importlib.metadata

    asked = engine(base_url)
    asked.close()
    version = importlib.metadata.version("vllm-cpu")
    assert asked.env_id.startswith(f"openai endpoint, vllm {version}")
    assert asked.evaluation_type == "local"


def test_a_wrong_model_is_refused_with_the_right_name(base_url: str) -> None:
    with pytest.raises(EngineFailure, match=rf"no model `smollm`; the server lists `{SERVED}`"):
        engine(base_url, served_model="smollm")


def test_a_wrong_path_is_refused_with_the_usual_one(base_url: str) -> None:
    asked = engine(base_url.removesuffix("/v1"))
    try:
        with pytest.raises(EngineFailure, match="usually ends in /v1"):
            list(asked.generate([chat("k", "Hello")]))
    finally:
        asked.close()
