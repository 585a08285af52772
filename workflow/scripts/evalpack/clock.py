"""Time as records write it."""

from datetime import UTC, datetime


def utc_now() -> str:
    """Now, as `2026-11-23T01:02:03.456Z`."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_utc(stamp: str) -> datetime:
    """Inverse of `utc_now`."""
    return datetime.fromisoformat(stamp)
