"""A real HTTP server on loopback that answers as a test tells it to."""

import contextlib
import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

Body = dict[str, Any]


@dataclass
class Reply:
    """One response: `body` is JSON unless it is bytes; `fate` is what becomes of the connection."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    fate: str = "whole"  # or `half` (closed in the middle), `reset`, `drip` (a byte every 50 ms)


@dataclass(frozen=True)
class Received:
    """One request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: Body
    at: float


def text_reply(text: str, **choice: Any) -> Reply:
    """A chat completion."""
    message = {"role": "assistant", "content": text}
    return Reply(
        {
            "choices": [{"index": 0, "message": message, "finish_reason": "stop", **choice}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 3},
        }
    )


def error_reply(status: int, message: str, code: str | None = None, **headers: str) -> Reply:
    """An error in OpenAI's form."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply({"error": {"message": message, "type": "some_error", "code": code}}, status, names)


def prompt_of(body: Body) -> str:
    """The user's words in a request."""
    return str(body["messages"][-1]["content"] if "messages" in body else body["prompt"])


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing of connections that the tests break."""


class ScriptedServer:
    """Answers POSTs through `respond(body, attempt)`, attempts of one prompt counted from 1."""

    def __init__(self) -> None:
        self.respond: Callable[[Body, int], Reply] = lambda body, _: text_reply(prompt_of(body))
        self.pages: dict[str, Reply] = {"/v1/models": models_reply("m")}
        self.received: list[Received] = []
        self.most_at_once = 0
        self._at_once = 0
        self._attempts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._http = _QuietServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def root(self) -> str:
        """The server's URL."""
        return f"http://127.0.0.1:{self._http.server_port}"

    @property
    def posts(self) -> list[Received]:
        """The generation requests."""
        return [request for request in self.received if request.method == "POST"]

    def stop(self) -> None:
        """Refuse connections from now on."""
        self._over.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def _reply(self, request: Received) -> Reply:
        path = urlsplit(request.path).path
        if request.method == "GET":
            return self.pages.get(path, Reply(b"404 page not found", 404))
        with self._lock:
            self._attempts[prompt_of(request.body)] += 1
            attempt = self._attempts[prompt_of(request.body)]
        return self.respond(request.body, attempt)

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            yield
        finally:
            with self._lock:
                self._at_once -= 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                self._serve()

            def do_POST(self) -> None:
                with server._counted():
                    self._serve()

            def _serve(self) -> None:
                size = int(self.headers.get("content-length", 0))
                body = json.loads(self.rfile.read(size) or b"{}")
                if server._over.is_set():  # kept-alive connections die with the server
                    self.close_connection = True
                    return
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Received(self.command, self.path, headers, body, time.monotonic())
                server.received.append(request)
                reply = server._reply(request)
                server._over.wait(reply.delay)
                with contextlib.suppress(OSError):  # the client may have gone
                    self._write(reply)

            def _write(self, reply: Reply) -> None:
                raw = (
                    reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
                )
                if reply.fate == "reset":
                    linger = struct.pack("ii", 1, 0)
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    self.connection.shutdown(socket.SHUT_RD)
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                if reply.fate == "half":
                    self.wfile.write(raw[: len(raw) // 2])
                    self.close_connection = True
                elif reply.fate == "drip":
                    for byte in raw:
                        self.wfile.write(bytes([byte]))
                        server._over.wait(0.05)
                else:
                    self.wfile.write(raw)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


def models_reply(*names: str, owner: str = "someone") -> Reply:
    """What /models answers."""
    return Reply({"object": "list", "data": [{"id": n, "owned_by": owner} for n in names]})
