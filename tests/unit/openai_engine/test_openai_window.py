"""Requests in flight: as many as allowed, none held up, none left behind."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from asking import Start, ask, ask_one, chat
from scripted_server import (
    Body,
    Reply,
    ScriptedServer,
    prompt_of,
    text_reply,
)

from evalpack.engines.base import Request


def test_every_request_is_answered_once_within_the_concurrency(
    server: ScriptedServer, start: Start
) -> None:
    pulled, answered = 0, 0

    def requests() -> Iterator[Request]:
        nonlocal pulled
        for i in range(150):
            pulled += 1
            assert pulled - answered <= 9  # eight in flight, one in our hands
            yield chat(f"k{i}")

    def respond(body: Body, _: int) -> Reply:
        reply = text_reply(prompt_of(body))
        reply.delay = 0.01
        return reply

    server.respond = respond
    keys = []
    for answer in start({"concurrency": 8}).generate(requests()):
        answered += 1
        assert answer.text == answer.key
        keys.append(answer.key)
    assert sorted(keys) == sorted(f"k{i}" for i in range(150))
    assert server.most_at_once == 8


def test_a_slow_request_does_not_hold_the_others_up(server: ScriptedServer, start: Start) -> None:
    def respond(body: Body, _: int) -> Reply:
        reply = text_reply("done")
        reply.delay = 1.0 if prompt_of(body) == "slow" else 0.0
        return reply

    server.respond = respond
    requests = [chat("slow"), *(chat(f"k{i}") for i in range(20))]
    answers = ask(start({"concurrency": 2}), *requests)
    assert [answer.key for answer in answers] == [*(f"k{i}" for i in range(20)), "slow"]


def test_a_generator_closed_early_cancels_what_is_in_flight(
    server: ScriptedServer, start: Start
) -> None:
    def respond(body: Body, _: int) -> Reply:
        reply = text_reply("x")
        reply.delay = 0.0 if prompt_of(body) == "quick" else 30.0
        return reply

    server.respond = respond
    engine = start({"concurrency": 4})
    answers = engine.generate(iter([chat("quick"), *(chat(f"k{i}") for i in range(20))]))
    assert next(answers).key == "quick"
    begun = time.monotonic()
    answers.close()  # type: ignore[attr-defined]
    engine.close()
    assert time.monotonic() - begun < 1
    assert len(server.posts) <= 5


def test_close_leaves_no_thread(server: ScriptedServer, start: Start) -> None:
    before = set(threading.enumerate())
    engine = start(base_url=server.root.replace("127.0.0.1", "localhost") + "/v1")
    ask_one(engine)
    engine.close()
    engine.close()
    assert not {t for t in set(threading.enumerate()) - before if "openai" in t.name}
    assert not [t for t in set(threading.enumerate()) - before if t.name.startswith("asyncio")]


def test_ctrl_c_ends_a_waiting_process_at_once(server: ScriptedServer, tmp_path: Path) -> None:
    server.respond = lambda *_: Reply({}, delay=30.0)
    script = tmp_path / "wait.py"
    script.write_text(
        "import sys\n"
        "from evalpack.engines.base import EngineSpec, Request\n"
        "from evalpack.engines.openai import OpenAIEngine\n"
        "from evalpack.models import Model\n"
        "model = Model(name='m', backend='openai', base_url=sys.argv[1])\n"
        "engine = OpenAIEngine(EngineSpec(model, None))\n"
        "sampling = {'temperature': 0.0, 'max_tokens': 5}\n"
        "try:\n"
        "    list(engine.generate([Request('k', None, 'p', sampling)]))\n"
        "finally:\n"
        "    engine.close()\n"
    )
    waiting = subprocess.Popen(
        [sys.executable, str(script), f"{server.root}/v1"], stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 60
        while not server.posts and time.monotonic() < deadline:
            time.sleep(0.02)
        begun = time.monotonic()
        waiting.send_signal(signal.SIGINT)
        _, stderr = waiting.communicate(timeout=20)
    finally:
        waiting.kill()
        waiting.wait()
    assert time.monotonic() - begun < 3
    assert waiting.returncode == -signal.SIGINT
    assert stderr.rstrip().endswith("KeyboardInterrupt")
