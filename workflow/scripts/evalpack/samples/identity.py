"""Every sample id once: 8 bytes an id in memory, so that a million of them weigh 8 MB."""

from array import array
from collections.abc import Iterable

import numpy as np


class Identities:
    """Hashes of the texts (ids, digests) seen so far."""

    def __init__(self) -> None:
        self._hashes = array("q")

    def add(self, text: str) -> None:
        self._hashes.append(hash(text))

    def count(self) -> int:
        """How many different texts there were."""
        return len(np.unique(np.asarray(self._hashes)))

    def repeated(self) -> frozenset[int]:
        """Hashes that occurred more than once; empty if every text was different."""
        hashes, counts = np.unique(np.asarray(self._hashes), return_counts=True)
        return frozenset(hashes[counts > 1].tolist())


def first_repeat(
    rows: Iterable[tuple[int, str]], suspects: frozenset[int]
) -> tuple[str, int, int] | None:
    """The first text that really occurs twice, with both row numbers.

    Args:
        rows: (row number, text) of every sample.
        suspects: what `repeated` returned; two texts can have one hash.
    """
    seen: dict[str, int] = {}
    for row, text in rows:
        if hash(text) in suspects:
            if text in seen:
                return text, seen[text], row
            seen[text] = row
    return None
