"""Spans of time: pairs of begin and end, in epoch seconds."""

from collections.abc import Iterable

Span = tuple[float, float]


def length(spans: Iterable[Span]) -> float:
    """Seconds of all spans together; where two overlap, both count."""
    return sum(end - begin for begin, end in spans)


def union(spans: Iterable[Span]) -> list[Span]:
    """The time in which at least one span is, as spans that do not touch, in order."""
    merged: list[Span] = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def overlap(one: Span, other: Span) -> float:
    """Seconds that two spans share."""
    return max(0.0, min(one[1], other[1]) - max(one[0], other[0]))


def peak(spans: Iterable[tuple[Span, int]]) -> int:
    """The most that spans, each with its weight, ever amount to at one time."""
    # Where one ends as the other begins, they do not overlap: ends sort first.
    changes = sorted(
        change
        for (begin, end), weight in spans
        if end > begin
        for change in ((begin, weight), (end, -weight))
    )
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most
