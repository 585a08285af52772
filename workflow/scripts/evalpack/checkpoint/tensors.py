"""The header of a safetensors file: which tensors it holds, without reading any of them.

A file is 8 bytes (the header's length, little-endian), the header in JSON, and the data.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalpack.errors import UserError

_LONGEST_HEADER = 100_000_000  # of the safetensors library, which refuses longer ones


@dataclass(frozen=True, slots=True)
class Tensor:
    """One stored tensor.

    Attributes:
        dtype: as safetensors calls it, for example `BF16`, `F8_E4M3`, `I32`.
        shape: its dimensions; empty for a single number.
        size: bytes.
        end: where its data ends, in bytes after the header.
    """

    dtype: str
    shape: tuple[int, ...]
    size: int
    end: int

    @property
    def numbers(self) -> int:
        """How many numbers of `dtype` it holds."""
        return math.prod(self.shape)

    @classmethod
    def from_header(cls, dtype: str, shape: list[int], offsets: tuple[int, int]) -> "Tensor":
        """Build it from a header's `dtype`, `shape` and `data_offsets`.

        Raises:
            TypeError: if they are no text and whole numbers.
            ValueError: if its data ends before it begins.
        """
        begin, end = offsets
        if not isinstance(dtype, str) or not all(type(n) is int for n in (*shape, *offsets)):
            raise TypeError("not a tensor")
        if not 0 <= begin <= end or any(n < 0 for n in shape):
            raise ValueError("not a tensor")
        return cls(dtype, tuple(shape), end - begin, end)


def read_header(file: Path, source: str) -> dict[str, Tensor]:
    """The tensors of a local safetensors file.

    Args:
        file: the file.
        source: what errors call the checkpoint.

    Raises:
        UserError: if the file is torn, or is no safetensors file.
    """
    total = file.stat().st_size
    with file.open("rb") as content:
        length = int.from_bytes(content.read(8), "little")
        if total < 8 or length > total - 8 or length > _LONGEST_HEADER:
            raise UserError(f"{source}: {file.name} is torn or no safetensors file; fetch it again")
        text = content.read(length)
    try:
        header: dict[str, Any] = json.loads(text)
        header.pop("__metadata__", None)
        tensors = {
            name: Tensor.from_header(t["dtype"], t["shape"], t["data_offsets"])
            for name, t in header.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(
            f"{source}: {file.name} has no readable safetensors header; fetch it again"
        ) from None
    check_whole(tensors, file.name, total - 8 - length, source)
    return tensors


def check_whole(tensors: Mapping[str, Tensor], name: str, data: int, source: str) -> None:
    """Refuse a file that is shorter than its header says.

    Args:
        tensors: what its header lists.
        name: the file's name.
        data: bytes of the file that follow the header.
        source: what errors call the checkpoint.

    Raises:
        UserError: if a tensor ends after the file does.
    """
    needed = max((tensor.end for tensor in tensors.values()), default=0)
    if needed > data:
        raise UserError(
            f"{source}: {name} is cut short: its tensors take {needed:,} bytes, the file has"
            f" {data:,}; fetch it again"
        )
