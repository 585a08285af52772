"""The HTTP side of an endpoint: send, wait, send again where that can help."""

import asyncio
import json
import logging
import random
import time
from collections.abc import Mapping
from typing import Any

import httpx
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

from evalpack import __version__
from evalpack.engines.base import AnswerError, EngineFailure
from evalpack.engines.openai_endpoint import Endpoint
from evalpack.engines.openai_faults import RequestFault, fault, read_complaint, retry_after
from evalpack.engines.openai_reply import Completion, read_completion

logger = logging.getLogger(__name__)

_LONGEST_BACKOFF = 60.0  # seconds
_LONGEST_PAUSE = 600.0  # seconds; a server that wants more has spent a quota, not its breath
_LONGEST_GET = 30.0  # seconds
_BUSY = {429, 500, 502, 503, 504}
_LEAST_FAILURES = 8  # in a row, before a server counts as out of order


class Client:
    """Asks one endpoint. Lives in one event loop."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.names: tuple[str, ...] = ()
        """The models that the server lists, once known."""
        self._endpoint = endpoint
        self._auth = endpoint.key.authorize if endpoint.key else None
        self._http = httpx.AsyncClient(
            headers={"User-Agent": f"evalpack/{__version__}"},
            timeout=httpx.Timeout(None, connect=endpoint.connect_timeout),  # the whole: see _send
            limits=httpx.Limits(max_keepalive_connections=endpoint.concurrency),
            follow_redirects=False,  # the key goes to base_url and nowhere else
            trust_env=not endpoint.is_loopback,  # proxies cannot reach this machine's loopback
        )
        self._resume_at = 0.0
        self._heard_at = 0.0
        self._failed_in_a_row = 0

    async def complete(self, path: str, body: Mapping[str, Any]) -> tuple[Completion, float]:
        """The server's answer, and the seconds from sending it off to the answer's last byte.

        Raises:
            RequestFault: if this request has no answer after all attempts.
            EngineFailure: if no request can have one.
        """
        try:
            content = json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        except UnicodeEncodeError:
            message = "the prompt holds half a surrogate pair, which UTF-8 cannot carry"
            raise RequestFault(AnswerError("RefusedRequest", message, permanent=True)) from None
        begun = time.monotonic()
        try:
            answer: tuple[Completion, float] = await self._retrying()(
                self._complete_once, path, content
            )
        except RequestFault as failed:
            self._despair_if_all_fail(failed, begun)
            raise
        self._failed_in_a_row = 0
        return answer

    async def get(self, url: str, *, authorized: bool, attempts: int = 1) -> httpx.Response:
        """GET a page, whatever its status, again while the server is out of reach or too busy.

        Raises:
            RequestFault: if it stays so.
        """
        return await self._retrying(attempts)(self._get_once, url, authorized)

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    def _retrying(self, attempts: int | None = None) -> AsyncRetrying:
        backoff = self._endpoint.backoff
        return AsyncRetrying(
            stop=stop_after_attempt(attempts or self._endpoint.max_attempts),
            wait=wait_exponential(backoff, max=_LONGEST_BACKOFF) + wait_random(0, backoff),
            retry=retry_if_exception(_may_pass),
            before_sleep=_log_attempt,
            reraise=True,
        )

    async def _complete_once(self, path: str, content: bytes) -> tuple[Completion, float]:
        while (pause := self._resume_at - time.monotonic()) > 0:  # the server asked for it
            await asyncio.sleep(pause + random.uniform(0, min(1, pause / 10)))  # noqa: S311
        sent = time.monotonic()
        response = await self._send(
            self._http.build_request(
                "POST",
                f"{self._endpoint.base_url}/{path}",
                headers={"Content-Type": "application/json"},
                content=content,
            ),
            self._endpoint.timeout,
            authorized=True,
        )
        seconds = time.monotonic() - sent
        if not response.is_success:
            raise self._refusal(response)
        try:
            payload = response.json()
        except ValueError:
            message = f"the answer of {len(response.content)} bytes is not valid JSON"
            raise RequestFault(AnswerError("BrokenAnswer", message, permanent=False)) from None
        if isinstance(payload, dict) and payload.get("error") and not payload.get("choices"):
            raise self._refusal(response)  # some gateways put errors into a 200
        return read_completion(payload), seconds

    async def _get_once(self, url: str, authorized: bool) -> httpx.Response:
        seconds = min(_LONGEST_GET, self._endpoint.timeout)
        response = await self._send(
            self._http.build_request("GET", url), seconds, authorized=authorized
        )
        if response.status_code in _BUSY:
            raise fault(read_complaint(response, self._endpoint), self._endpoint, url, ())
        return response

    async def _send(
        self, request: httpx.Request, seconds: float, *, authorized: bool
    ) -> httpx.Response:
        """Send once and read the whole response, within `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                response = await self._http.send(request, auth=self._auth if authorized else None)
        except TimeoutError:
            message = f"no whole answer within {seconds:g} s"
            raise RequestFault(AnswerError("Timeout", message, permanent=False)) from None
        except httpx.RequestError as error:
            message = self._endpoint.redact(str(error)) or type(error).__name__
            connected = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            kind = "ConnectionLost" if connected else "NoConnection"
            raise RequestFault(
                AnswerError(kind, message, permanent=False), connected=connected
            ) from None
        self._heard_at = time.monotonic()
        return response

    def _refusal(self, response: httpx.Response) -> RequestFault | EngineFailure:
        complaint = read_complaint(response, self._endpoint)
        refusal = fault(complaint, self._endpoint, str(response.url), self.names)
        pause = retry_after(response)
        if not isinstance(refusal, RequestFault) or refusal.error.permanent or not pause:
            return refusal
        if pause > _LONGEST_PAUSE:
            return EngineFailure(
                f"model `{self._endpoint.model.name}`: {self._endpoint.base_url} asks to be left"
                f" alone for {pause:.0f} s ({complaint}); the same command continues after that"
            )
        self._resume_at = max(self._resume_at, time.monotonic() + pause)
        return refusal

    def _despair_if_all_fail(self, failed: RequestFault, begun: float) -> None:
        """Fail as a whole where going on would only turn every row, slowly, into an error."""
        place = f"model `{self._endpoint.model.name}`: {self._endpoint.base_url}"
        if failed.error.permanent:  # the server is well, and said what is wrong with the request
            self._failed_in_a_row = 0
            return
        if not failed.connected and self._heard_at < begun:
            raise unreachable(self._endpoint, failed) from None
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= max(_LEAST_FAILURES, self._endpoint.concurrency):
            raise EngineFailure(
                f"{place}: {self._failed_in_a_row} requests in a row failed"
                f" {self._endpoint.max_attempts} times each, the last with {failed.error};"
                " look at the server's log, or lower `concurrency`"
            ) from None


def unreachable(endpoint: Endpoint, failed: RequestFault) -> EngineFailure:
    """The failure of a server that cannot be reached at all."""
    return EngineFailure(
        f"model `{endpoint.model.name}`: no answer from {endpoint.base_url} ({failed.error});"
        " check that the server runs and that base_url is right"
    )


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, RequestFault) and not error.error.permanent


def _log_attempt(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    logger.info("attempt %d failed: %s", state.attempt_number, error)
