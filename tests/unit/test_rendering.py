"""Prompts are rendered ahead, in order, a bounded number, and none spoils the others."""

import itertools
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from evalpack.engines import rendering
from evalpack.engines.base import Request
from evalpack.engines.rendering import RenderAhead, Rendered
from evalpack.models import Model

MODEL = Model("m", path="m")


class Tokenizer:
    """A word is a token; as strict about half surrogate pairs as the real ones."""

    def __call__(self, texts: list[str], *, add_special_tokens: bool) -> dict[str, Any]:
        return {"input_ids": [self.encode(text) for text in texts]}

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        text.encode("utf-8")
        return [len(word) for word in text.split()]

    def apply_chat_template(self, messages: list[dict[str, str]], **_: Any) -> str:
        if messages[0]["role"] == "system":
            raise ValueError("System role not supported")
        return messages[0]["content"]


def chat(key: int, text: str, role: str = "user") -> Request:
    return Request(str(key), ({"role": role, "content": text},), None, {"max_tokens": 4})


def ahead(requests: Any, most: int = 100) -> RenderAhead:
    return RenderAhead(requests, Tokenizer(), MODEL, most)


def test_in_order_chats_and_completions() -> None:
    mixed = [
        chat(i, "a bc " * i) if i % 2 else Request(str(i), None, "one two", {}) for i in range(1, 9)
    ]
    found = list(ahead(mixed))
    assert [one.request.key for one in found] == [str(i) for i in range(1, 9)]
    assert found[0].tokens == [1, 2]
    assert found[1].tokens == [3, 3]


def test_a_refused_prompt_does_not_spoil_its_batch() -> None:
    requests = [
        chat(0, "good one"),
        chat(1, "half \ud83d of a pair"),
        chat(2, "be kind", role="system"),
        chat(3, "word " * 100),
        chat(4, ""),
        chat(5, "good two"),
    ]
    refusals = [one.refusal and one.refusal.error for one in ahead(requests)]
    kinds = [error and error.type for error in refusals]
    assert kinds == [None, "TemplateError", "TemplateError", "PromptTooLong", "EmptyPrompt", None]
    assert all(error.permanent for error in refusals if error)


def test_a_prompt_that_ends_thinking_is_marked() -> None:
    found = list(ahead([chat(0, "why <think>\n"), chat(1, "why")]))
    assert [one.opened for one in found] == [True, False]


def test_an_endless_source_is_not_drained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "AHEAD", 300)
    pulled = itertools.count()

    def endless() -> Iterator[Request]:
        for i in pulled:
            yield chat(i, "a")

    source = ahead(endless())
    next(source)
    time.sleep(0.3)
    assert next(pulled) < 1000
    source.close()


def test_several_engines_share_it_and_all_see_its_end() -> None:
    source = ahead(chat(i, "a") for i in range(1000))
    found: list[list[Rendered]] = [[], [], []]
    threads = [threading.Thread(target=lambda i=i: found[i].extend(source)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert sorted(int(one.request.key) for part in found for one in part) == list(range(1000))


def test_an_error_of_the_source_reaches_who_takes_from_it() -> None:
    def broken() -> Iterator[Request]:
        yield chat(0, "a")
        raise OSError("samples.parquet is gone")

    with pytest.raises(OSError, match="is gone"):
        list(ahead(broken()))


def test_nothing_ready_is_not_the_end() -> None:
    gate = threading.Event()

    def slow() -> Iterator[Request]:
        gate.wait(20)
        yield chat(0, "a")

    source = ahead(slow())
    assert source.next(wait=False) is None
    gate.set()
    assert source.next(wait=True) is not None
    with pytest.raises(StopIteration):
        source.next(wait=True)


def test_its_thread_ends_when_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "AHEAD", 4)
    source = ahead(chat(i, "a") for i in itertools.count())
    next(source)
    (thread,) = [t for t in threading.enumerate() if t.name == "rendering" and t.is_alive()]
    source.close()
    thread.join(10)
    assert not thread.is_alive()
