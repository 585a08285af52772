"""Values that rules look up by their wildcards, as functions that Snakemake calls."""

from collections.abc import Callable, Mapping
from inspect import Parameter, Signature
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class BySlug(Generic[T]):
    """A value a model: `gpu=RUN.gpus` in a rule stands for `lambda wildcards: gpus[wildcards.slug]`."""

    # Snakemake asks for it at each call, and inspect takes long to find it out: with thousands of
    # jobs that is a tenth of a dry run.
    __signature__ = Signature([Parameter("wildcards", Parameter.POSITIONAL_OR_KEYWORD)])

    def __init__(self, values: Mapping[str, T]) -> None:
        self._values = values

    def __call__(self, wildcards: Any) -> T:
        """The value of the model that the wildcards name."""
        return self[wildcards.slug]

    def __getitem__(self, slug: str) -> T:
        """The value of a model, by its file name."""
        return self._values[slug]


class ByAttempt(BySlug[T]):
    """A value that grows with the tries of a job: `values` has what it is the first time, by slug."""

    __signature__ = Signature(
        [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in ("wildcards", "attempt")]
    )

    def __init__(self, values: Mapping[str, Callable[[int], T]]) -> None:
        self._of = values

    def __call__(self, wildcards: Any, attempt: int) -> T:  # type: ignore[override]
        """The value of the model that the wildcards name, at this attempt (from 1)."""
        return self._of[wildcards.slug](attempt)


class ByShard(BySlug[tuple[T, ...]]):
    """A value a shard: of a model's values the one that the wildcard `i`, from 1, names."""

    def __call__(self, wildcards: Any) -> Any:
        """The value of the shard that the wildcards name."""
        return self[wildcards.slug][int(wildcards.i) - 1]
