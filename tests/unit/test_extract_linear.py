"""A long answer takes time in proportion to its length."""

import importlib
import itertools
import pkgutil
import re
import re._parser as sre  # type: ignore[import-not-found]
import time
from collections.abc import Iterator
from typing import Any

import pytest

import evalpack.extract
from evalpack.extract import extract, split_reasoning

MEGABYTE = 1_000_000
TEXTS = (
    *" \n\u1680.(<|1",
    *("&#", "~~", "7, ", "not, ", "<think>", "</think>", "<|channel|>", "analysis"),
    *("It is not acceptable. ", "I would rate it because ", "some people think it may be "),
)


def patterns() -> Iterator[tuple[str, re.Pattern[str]]]:
    """Every compiled pattern that a module of the package holds, also in tuples."""
    for module in pkgutil.iter_modules(evalpack.extract.__path__):
        for name, value in vars(importlib.import_module(f"evalpack.extract.{module.name}")).items():
            items = itertools.chain.from_iterable(
                item if isinstance(item, tuple) else (item,)
                for item in (value if isinstance(value, tuple) else (value,))
            )
            for item in items:
                if isinstance(item, re.Pattern):
                    yield f"{module.name}.{name}", item


def has_unbounded_repeat(tree: Any) -> bool:
    for operation, argument in tree:
        if (
            operation in {sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT}
            and argument[1] == sre.MAXREPEAT
        ):
            return True
        nested = argument if isinstance(argument, (tuple, list)) else (argument,)
        for part in itertools.chain(nested, *(part for part in nested if isinstance(part, list))):
            if isinstance(part, sre.SubPattern) and has_unbounded_repeat(part):
                return True
    return False


@pytest.mark.parametrize(
    ("name", "pattern"), [pytest.param(*found, id=found[0]) for found in patterns()]
)
def test_no_pattern_can_look_ahead_without_bound(name: str, pattern: re.Pattern[str]) -> None:
    # Then a failed attempt costs at most a constant, and all attempts grow with the text alone. A repeat at
    # the very end is no danger: nothing after it can fail.
    *inner, (operation, argument) = sre.parse(pattern.pattern, pattern.flags & ~re.UNICODE)
    ends_in_repeat = operation == sre.MAX_REPEAT and not has_unbounded_repeat(argument[2])
    assert not has_unbounded_repeat(inner if ends_in_repeat else [*inner, (operation, argument)]), (
        name
    )


def test_the_check_itself_finds_an_unbounded_repeat() -> None:
    assert all(
        has_unbounded_repeat(sre.parse(bad))
        for bad in ("a+b", "(?:x|(a*b))", "(?=a+)", "(a+?){0,3}b")
    )
    assert not any(
        has_unbounded_repeat(sre.parse(good)) for good in ("a{1,3}b", "(?:a|b)?c", "[a-z]{0,9}")
    )


@pytest.mark.parametrize("unit", TEXTS)
def test_a_megabyte_of_anything_is_read_in_seconds(unit: str) -> None:
    text = (unit * (MEGABYTE // len(unit) + 1))[:MEGABYTE]
    started = time.perf_counter()
    extract(text)
    split_reasoning(text, finish_reason="length")
    assert time.perf_counter() - started < 30  # a quadratic pattern would take hours
