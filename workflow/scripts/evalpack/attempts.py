"""Attempts: how often a job started without getting anywhere, and how often a model was retried.

Two small files outlive Snakemake's attempts: a note per shard (`<run>/starts/…`), which stops a job
that only ever dies, and `<run>/retries.json`, which makes the next command try failed models again.
"""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from evalpack.atomic import read_json, write_json
from evalpack.engines.base import AnswerError

MAX_VAIN_STARTS = 3
_KILLED = AnswerError(
    "Killed", "the job ended without a word (out of memory, a time limit, kill -9)", permanent=False
)


class Starts:
    """Starts of one job that did not end well.

    They count within a scope (owner of the run, settings, retry). A workflow that is killed and
    typed again is a new owner: being killed as a whole says nothing about the model.
    """

    def __init__(self, path: Path, scope: str, retries: int) -> None:
        """Read the note.

        Args:
            path: `<run>/starts/<slug>/<i>-of-<n>.json`.
            scope: what the count belongs to; a note of another scope counts from zero.
            retries: how often Snakemake starts a failed job again.
        """
        self._path, self._scope, self._retries = path, scope, retries
        note = read_json(path, default={})
        known = note.get("scope") == scope
        self.count: int = note["count"] if known else 0
        self.in_vain: int = note["in_vain"] if known else 0
        self.cause = AnswerError(**note["cause"]) if known else _KILLED

    @property
    def hopeless(self) -> bool:
        """Whether this start must end well, with what there is.

        That is the third start in a row without a new answer, and the last that Snakemake allows:
        a job that fails for good would keep all other models from being collected.
        """
        return self.in_vain >= MAX_VAIN_STARTS - 1 or self.count >= max(1, self._retries)

    @property
    def last(self) -> bool:
        """Whether Snakemake will not start this job again if the start that began fails."""
        return self.count > self._retries

    def begin(self) -> None:
        """Note a start; until something else is noted, its end is a sudden death."""
        self.count += 1
        self.in_vain += 1
        self._note(_KILLED)

    def failed(self, cause: AnswerError) -> None:
        """Note why this start ended."""
        self._note(cause)

    def progressed(self) -> None:
        """Note that an answer came: this start is not in vain."""
        if self.in_vain:
            self.in_vain = 0
            self._note(_KILLED)

    def _note(self, cause: AnswerError) -> None:
        self.cause = cause
        counts = {"count": self.count, "in_vain": self.in_vain}
        write_json(self._path, {"scope": self._scope, **counts, "cause": asdict(cause)})


def retries(path: Path) -> dict[str, int]:
    """How often each model (by slug) failed the quality gate: retries.json."""
    return {slug: int(count) for slug, count in read_json(path, default={}).items()}


def note_retry(path: Path, slugs: Iterable[str]) -> None:
    """Raise the counts of models, which makes Snakemake run their generate jobs again."""
    counts = retries(path)
    for slug in slugs:
        counts[slug] = counts.get(slug, 0) + 1
    write_json(path, counts)
