"""The Hugging Face hub as far as staging needs it: a cache laid out on disk, and a small server."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

SNAPSHOT = {
    "config.json": "{}",
    "model.safetensors": "weights",
    "tokenizer_config.json": '{"chat_template": "x"}',
}


def commit(number: int) -> str:
    """The commit hash with this number."""
    return hashlib.sha1(str(number).encode(), usedforsecurity=False).hexdigest()


def cache_snapshot(
    cache: Path,
    repository: str,
    sha: str,
    files: Mapping[str, str] = SNAPSHOT,
    *,
    branch: str | None = "main",
) -> Path:
    """Lay a snapshot out as huggingface_hub does: blobs by digest, links by name, a ref a branch."""
    top = cache / f"models--{repository.replace('/', '--')}"
    snapshot = top / "snapshots" / sha
    snapshot.mkdir(parents=True)
    (top / "blobs").mkdir(exist_ok=True)
    for name, content in files.items():
        blob = top / "blobs" / hashlib.sha256(content.encode()).hexdigest()
        if not blob.exists():
            blob.write_text(content)
        (snapshot / name).symlink_to(f"../../blobs/{blob.name}")
    if branch is not None:
        (top / "refs").mkdir(exist_ok=True)
        (top / "refs" / branch).write_text(sha)
    return snapshot


class _Handler(BaseHTTPRequestHandler):
    files: ClassVar[Mapping[str, str | bytes]] = {}
    sha: ClassVar[str] = ""
    refuses: ClassVar[tuple[int, str] | None] = None

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if self.refuses is not None:
            self._send(self.refuses[0], b"no", {"X-Error-Code": self.refuses[1]})
        elif "/tree/" in path:
            self._send_json([self._described(name) for name in self.files])
        elif path.startswith("/api/models/"):
            siblings = [{"rfilename": n, "size": len(self._content(n))} for n in self.files]
            name = "/".join(path.split("/")[3:5])
            self._send_json({"id": name, "sha": self.sha, "siblings": siblings})
        else:
            content = self._content(path.partition(f"/resolve/{self.sha}/")[2])
            etag = hashlib.sha256(content).hexdigest()
            headers = {"X-Repo-Commit": self.sha, "ETag": f'"{etag}"'}
            if asked := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"] or ""):
                self._send(206, content[int(asked[1]) : int(asked[2]) + 1], headers)
            else:
                self._send(200, content, headers)

    do_HEAD = do_GET  # noqa: N815

    def _content(self, name: str) -> bytes:
        content = self.files[name]
        return content.encode() if isinstance(content, str) else content

    def _described(self, name: str) -> dict[str, Any]:
        content = self._content(name)
        oid = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        return {"type": "file", "path": name, "size": len(content), "oid": oid}

    def _send_json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def hub(
    files: Mapping[str, str | bytes] = SNAPSHOT,
    sha: str = commit(1),
    refuses: tuple[int, str] | None = None,
) -> Iterator[str]:
    """Serve one repository (whatever it is called) and give the server's URL.

    `refuses` is the status and the `X-Error-Code` of every answer.
    """
    handler = type("Handler", (_Handler,), {"files": files, "sha": sha, "refuses": refuses})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
