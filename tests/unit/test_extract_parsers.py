"""Parsers by name, and the digest that re-runs the parse stage when one is edited."""

import doctest
import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import evalpack.extract
from evalpack.errors import UserError
from evalpack.extract import DEFAULT, PARSERS, extract, opens_reasoning, parser_digest

PACKAGE = Path(evalpack.extract.__file__).parent


def test_the_default_parser_reads_moral_ratings() -> None:
    assert PARSERS[DEFAULT] is extract


def test_a_digest_is_the_same_in_every_process() -> None:
    script = "from evalpack.extract import parser_digest; print(parser_digest('moral_rating'))"
    other = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == parser_digest("moral_rating")
    assert re.fullmatch(r"[0-9a-f]{64}", parser_digest("moral_rating"))


@pytest.mark.parametrize("module", sorted(path.name for path in PACKAGE.glob("*.py")))
def test_an_edit_to_any_module_changes_the_digest(module: str, tmp_path: Path) -> None:
    copy = tmp_path / "evalpack"
    shutil.copytree(PACKAGE, copy / "extract", ignore=shutil.ignore_patterns("__pycache__"))
    for shared in ("__init__.py", "errors.py"):
        shutil.copy(PACKAGE.parent / shared, copy)
    with (copy / "extract" / module).open("a", encoding="utf-8") as edited:
        edited.write("# edited\n")
    script = "from evalpack.extract import parser_digest; print(parser_digest('moral_rating'))"
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"PYTHONPATH": "."},
    )
    assert run.stdout.strip() != parser_digest("moral_rating")


def test_an_unknown_parser_is_an_error_that_names_those_there_are() -> None:
    with pytest.raises(UserError, match=r"no parser 'moral_ratings'.*moral_rating"):
        parser_digest("moral_ratings")


def test_the_package_needs_nothing_of_evalpack_but_its_errors() -> None:
    # Else a change elsewhere could change what is read without changing the digest.
    script = (
        "import sys, evalpack.extract;"
        "print(*sorted(name for name in sys.modules if name.startswith('evalpack.')"
        " and not name.startswith('evalpack.extract')))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["evalpack.errors"]


@pytest.mark.parametrize(
    "prompt", ["<|im_start|>assistant\n<think>\n", "[THINK]", "... <reasoning> "]
)
def test_a_prompt_that_ends_with_an_opening_tag_opens_the_reasoning(prompt: str) -> None:
    assert opens_reasoning(prompt)


@pytest.mark.parametrize(
    "prompt", ["", "Assistant:", "<think>\n\n</think>\n\n", "Use <think> tags. Answer:"]
)
def test_other_prompts_do_not(prompt: str) -> None:
    assert not opens_reasoning(prompt)


@pytest.mark.parametrize(
    "name", ["plain", "markup", "lines", "scale", "lexicon", "wording", "moral_rating"]
)
def test_the_examples_in_the_documentation_are_true(name: str) -> None:
    module = importlib.import_module(f"evalpack.extract.{name}")
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0
