"""What every part of `all.py` is given: the setting, what was asked for, the time that is left."""

import argparse
import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
from common import HERE, Setting, checkpoint
from weights import write_weights

REAL = ("llama3.1:8b", "llama3:8b")
"""Models of one shape, which may be given weights on disk."""


class Bench:
    """One call of `all.py`.

    Attributes:
        found: by part, what it reported, for the parts after it.
    """

    def __init__(self, setting: Setting, options: argparse.Namespace) -> None:
        self.setting, self.options = setting, options
        self.found: dict[str, dict[str, Any]] = {}
        self._end: float = time.monotonic() + 60 * options.minutes
        self._part_end = self._end
        self._writing: threading.Thread | None = None

    def begin(self) -> bool:
        """Begin a part; False if the time is up."""
        now = time.monotonic()
        self._part_end = min(self._end, now + 60 * self.options.part_minutes)
        return self._end - now > 1

    @property
    def left(self) -> float:
        """Seconds that the part may still take."""
        left: float = self._part_end - time.monotonic()
        return max(1.0, left)

    @property
    def one(self) -> str:
        """CUDA_VISIBLE_DEVICES of a part that needs one GPU."""
        return "" if self.options.tiny else "0"

    @cached_property
    def real(self) -> Path | None:
        """Folder of a checkpoint whose weights are on disk, once `weights()` has returned; or None."""
        options = self.options
        wanted = options.real and not options.tiny and {"lineup", "startup"} & {*options.parts}
        return checkpoint(self.setting, REAL[0]) if wanted else None

    def write_weights(self) -> None:
        """Begin to write them; CPU and disk do it while a part that needs none runs."""
        if self.real is not None:
            self._writing = threading.Thread(target=self._write, args=(self.real,), daemon=True)
            self._writing.start()

    def weights(self) -> Path | None:
        """`real`, all of it there."""
        if self._writing is not None:
            self._writing.join()
        return self.real

    def _write(self, folder: Path) -> None:
        began = time.monotonic()
        size = write_weights(folder)
        print(f"wrote {size / 1e9:.1f} GB in {time.monotonic() - began:.0f} s", flush=True)

    def raw(
        self,
        name: str,
        specs: Sequence[Mapping[str, Any]] | Mapping[str, Any],
        *,
        devices: str | None = None,
        script: str = "raw.py",
        environment: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """What `raw.py`, or another script of its kind, found until the part's time was up."""
        spec, result = (self.setting.logs / f"{name}.{end}" for end in ("spec.json", "json"))
        spec.write_text(json.dumps(specs), encoding="utf-8")
        result.unlink(missing_ok=True)
        visible = self.one if devices is None else devices
        own = {"CUDA_VISIBLE_DEVICES": visible} if visible else {}
        process = psutil.Popen(
            [sys.executable, str(HERE / script), str(spec), str(result)],
            env={**os.environ, **own, **(environment or {})},
        )
        try:
            process.wait(self.left)
        except psutil.TimeoutExpired:
            print(f"{name}: out of time", flush=True)
            # An engine that outlives its script keeps the GPU from the next part.
            for one in [*process.children(recursive=True), process]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
            process.wait()
        spec.unlink()
        found: dict[str, Any] = json.loads(result.read_text("utf-8")) if result.exists() else {}
        return found
