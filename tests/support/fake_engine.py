"""A deterministic engine for tests of all that is around an engine.

Put in by EVALPACK_TEST_ENGINE=fake_engine:FakeEngine. What it does, it writes down: a line per start and
per answered key in the file that EVALPACK_FAKE_LOG names. How it misbehaves, EVALPACK_FAKE says as
JSON: `delay` (seconds an answer takes, of all models or by model), `refuse` (models that cannot load),
`kill_after` (model: answers after which the process kills itself), `empty` (models that answer nothing),
`template` (model: tokens that its chat template adds to a prompt). A word is a token, and prompt and
answer share `max_model_len`.
"""

import hashlib
import json
import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from evalpack.clock import utc_now
from evalpack.engines.base import Answer, AnswerError, EngineFailure, EngineSpec, Request


class FakeEngine:
    evaluation_type = "fake"
    env_id = "fake 1"

    def __init__(self, spec: EngineSpec) -> None:
        self._model = spec.model.name
        self._behaviour = json.loads(os.environ.get("EVALPACK_FAKE", "{}"))
        self._limit = spec.max_model_len or 1_000_000
        self._note("start", f"{self._model} {spec.max_model_len}")
        if self._model in self._behaviour.get("refuse", ()):
            raise EngineFailure(f"cannot load {self._model}: the weights are corrupt")

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        left = self._behaviour.get("kill_after", {}).get(self._model)
        delay = self._behaviour.get("delay", 0)
        if isinstance(delay, dict):
            delay = delay.get(self._model, 0)
        for request in requests:
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(delay)
            yield self._answer(request)
            self._note("answer", request.key)
            left = left - 1 if left is not None else None

    def close(self) -> None:
        self._note("close", self._model)

    def _answer(self, request: Request) -> Answer:
        asked = json.dumps([request.messages, request.prompt], ensure_ascii=False)
        words = len(asked.split()) + self._behaviour.get("template", {}).get(self._model, 0)
        if words >= self._limit:
            error = AnswerError("PromptTooLong", f"the prompt has {words} tokens", permanent=True)
            return Answer(request.key, None, None, words, None, None, utc_now(), error=error)
        score = int(hashlib.sha256(asked.encode()).hexdigest(), 16) % 10 + 1
        text = f"Rating: {score}. That is {'acceptable' if score >= 6 else 'unacceptable'}."
        if self._model in self._behaviour.get("empty", ()):
            text = ""
        tokens = [len(word) for word in text.split()]
        cut = tokens[: min(request.sampling["max_tokens"], self._limit - words)]
        return Answer(
            key=request.key,
            text=" ".join(text.split()[: len(cut)]),
            finish_reason="stop" if len(cut) == len(tokens) else "length",
            prompt_tokens=words,
            completion_tokens=len(cut),
            inference_time=0.001 * len(cut),
            finished=utc_now(),
            token_ids=cut,
        )

    def _note(self, what: str, which: str) -> None:
        if path := os.environ.get("EVALPACK_FAKE_LOG"):
            with Path(path).open("a", encoding="utf-8") as log:
                log.write(f"{what} {which}\n")
