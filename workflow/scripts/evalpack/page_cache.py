"""Reading files before they are needed, so that they come from memory then."""

import os
import threading
from pathlib import Path

import psutil

_CHUNK = 16 << 20
_SHARE = 0.5
"""Of the memory that is available, what files read in advance may take."""


def read_ahead(folder: Path) -> None:
    """Read a checkpoint's weights in a thread, if memory has room for them."""
    files = sorted(folder.glob("*.safetensors"))
    size = sum(file.stat().st_size for file in files)
    if size and size < _SHARE * psutil.virtual_memory().available:
        threading.Thread(target=_read, args=(files,), daemon=True, name="weights").start()


def _read(files: list[Path]) -> None:
    buffer = bytearray(_CHUNK)
    for file in files:
        try:
            descriptor = os.open(file, os.O_RDONLY)
        except OSError:
            return  # the engine will say what is wrong with it
        try:
            while os.readv(descriptor, [buffer]):
                pass
        except OSError:
            return
        finally:
            os.close(descriptor)
