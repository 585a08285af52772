"""Progress of a job: a line in its log and a heartbeat file, at least every five seconds."""

import contextlib
import threading
import time
from pathlib import Path

from evalpack.atomic import write_json
from evalpack.clock import utc_now

INTERVAL_SECONDS = 5.0


class Progress:
    """Counts answers and tells how it goes, from a thread of its own.

    The heartbeat file holds phase, done, total, tokens_per_second, eta_seconds and updated.
    """

    def __init__(self, path: Path, label: str, total: int, done: int) -> None:
        self._path, self._label = path, label
        self._total, self._done, self._reused = total, done, done
        self._tokens = 0
        self._phase = "starting"
        self._generating_since: float | None = None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Progress":
        self._tell()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.phase("failed" if kind is not None else "done")

    def phase(self, name: str) -> None:
        """Enter a phase: waiting, loading, generating, writing."""
        with self._lock:
            self._phase = name
            if name == "generating":
                self._generating_since = time.monotonic()
        self._tell()

    def answered(self, tokens: int) -> None:
        """Count one answer of so many completion tokens."""
        with self._lock:
            self._done += 1
            self._tokens += tokens

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL_SECONDS):
            with contextlib.suppress(OSError):  # a full disk fails the journal, not the telling
                self._tell()

    def _tell(self) -> None:
        with self._lock:
            since = self._generating_since
            seconds = time.monotonic() - since if since is not None else 0.0
            speed = self._tokens / seconds if seconds > 0 else None
            new, left = self._done - self._reused, self._total - self._done
            eta = seconds / new * left if new else None
            beat = {
                "phase": self._phase,
                "done": self._done,
                "total": self._total,
                "tokens_per_second": round(speed, 1) if speed else None,
                "eta_seconds": round(eta, 1) if eta is not None else None,
                "updated": utc_now(),
            }
        write_json(self._path, beat)
        rate = f", {speed:.0f} tokens/s" if speed else ""
        left_text = f", {eta:.0f} s left" if eta else ""
        print(
            f"{beat['updated']} {self._label}: {beat['phase']},"
            f" {beat['done']}/{beat['total']} answers{rate}{left_text}",
            flush=True,
        )
