"""An OpenAI-compatible server as an engine: Ollama, a commercial API, or `vllm serve`.

docs/endpoints.md says what is sent, what counts as a failure, and how often a request is repeated.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from queue import SimpleQueue
from typing import Any

from evalpack.clock import utc_now
from evalpack.engines.base import Answer, EngineSpec, Request
from evalpack.engines.openai_body import BodyWriter
from evalpack.engines.openai_client import Client
from evalpack.engines.openai_endpoint import Endpoint
from evalpack.engines.openai_faults import RequestFault
from evalpack.engines.openai_loop import LoopThread
from evalpack.engines.openai_server import inspect
from evalpack.errors import UserError


class OpenAIEngine:
    """One model behind a server; `concurrency` requests are in flight, never a batch."""

    def __init__(self, spec: EngineSpec) -> None:
        """Check the settings and meet the server.

        Raises:
            UserError: if the settings cannot work, whatever the server.
            EngineFailure: if the server cannot be reached, refuses us or lacks the model.
        """
        self._endpoint = endpoint = Endpoint.from_spec(spec)
        self.evaluation_type = endpoint.evaluation_type
        try:
            self._client = Client(endpoint)
        except (ImportError, ValueError) as error:  # only what the environment says can be wrong
            raise UserError(
                f"the proxy in HTTPS_PROXY, HTTP_PROXY or ALL_PROXY cannot be used: {error}"
            ) from None
        self._loop = LoopThread("openai-endpoint", last=self._client.close)
        try:
            server = self._loop.run(inspect(self._client, endpoint))
            # Ollama takes vLLM's fields without a word and does nothing with them.
            near = endpoint.evaluation_type == "local" and server.software != "ollama"
            self._bodies = BodyWriter(endpoint, endpoint.dialect or ("vllm" if near else "openai"))
        except BaseException:
            self.close()
            raise
        self.env_id = server.env_id

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Answer every request once, in the order they finish (see `Engine`).

        Raises:
            UserError: if a request's sampling cannot be sent to this server.
            EngineFailure: if no request can be answered any more; finished ones come first.
        """
        source = iter(requests)
        finished: SimpleQueue[asyncio.Task[Answer]] = SimpleQueue()
        running: set[asyncio.Task[Answer]] = set()
        try:
            while True:
                for request in islice(source, self._endpoint.concurrency - len(running)):
                    path, body = self._bodies.write(request)
                    work = self._answer(request.key, path, body)
                    running.add(self._loop.start(work, finished.put))
                if not running:
                    return
                task = finished.get()
                running.discard(task)
                if (failure := task.exception()) is not None:
                    yield from _good_ones(finished)
                    raise failure
                yield task.result()
        finally:
            self._loop.cancel(running)

    def close(self) -> None:
        """Cancel what is in flight; no thread and no connection is left."""
        self._loop.close()

    async def _answer(self, key: str, path: str, body: Mapping[str, Any]) -> Answer:
        try:
            completion, seconds = await self._client.complete(path, body)
        except RequestFault as failed:
            error = failed.error
            if not error.permanent:
                attempts = self._endpoint.max_attempts
                error = replace(error, message=f"{error.message} (after {attempts} attempts)")
            return Answer(key, None, None, None, None, None, utc_now(), error=error)
        secret = self._endpoint.key
        return Answer(
            key=key,
            text=secret.redact_answer(completion.text) if secret else completion.text,
            finish_reason=completion.finish_reason,
            prompt_tokens=completion.prompt_tokens,
            completion_tokens=completion.completion_tokens,
            inference_time=seconds,
            finished=utc_now(),
            token_ids=completion.token_ids,
        )


def _good_ones(finished: SimpleQueue[asyncio.Task[Answer]]) -> Iterator[Answer]:
    """The answers that came in beside a failure: they are paid for."""
    while not finished.empty():
        task = finished.get()
        if task.exception() is None:
            yield task.result()
