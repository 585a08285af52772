"""Prompts as tokens, made ahead of the engine in a thread of their own.

A tokenizer of the Rust library lets other threads run while it works, so that rendering costs the
engine nothing; it begins before the engine is there, and stays a bounded number of prompts ahead.
"""

import itertools
import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from evalpack.clock import utc_now
from evalpack.engines.base import Answer, AnswerError, Request
from evalpack.extract import opens_reasoning
from evalpack.models import Model

AHEAD = 8192
"""Rendered prompts that wait for the engine at most: some megabytes."""
_BATCH = 128


@dataclass(frozen=True, slots=True)
class Rendered:
    """A request as the engine takes it.

    `opened`: its prompt ends inside a reasoning block. `refusal`: why it cannot be asked.
    """

    request: Request
    tokens: list[int]
    opened: bool = False
    refusal: Answer | None = None


class RenderAhead(Iterator[Rendered]):
    """Renders requests in a thread; an iterator over them that several engines may share."""

    def __init__(
        self, requests: Iterable[Request], tokenizer: Any, model: Model, most: int
    ) -> None:
        """Begin to render.

        Args:
            requests: pulled from the thread, lazily.
            tokenizer: vLLM's, of the model.
            model: how it is talked to.
            most: tokens that a prompt must stay below (`max_model_len`).
        """
        self._requests, self._tokenizer = requests, tokenizer
        self._model, self._most = model, most
        self._queue: queue.Queue[Rendered | BaseException | None] = queue.Queue(AHEAD)
        self._closed = False
        threading.Thread(target=self._run, daemon=True, name="rendering").start()

    def __next__(self) -> Rendered:
        """The next request, waiting for it."""
        found = self.next(wait=True)
        assert found is not None  # noqa: S101 - it waited
        return found

    def next(self, *, wait: bool) -> Rendered | None:
        """The next request; None if none is ready yet and `wait` is false.

        Raises:
            StopIteration: after the last one.
        """
        try:
            found = self._queue.get(block=wait)
        except queue.Empty:
            return None
        if isinstance(found, Rendered):
            return found
        self._queue.put(found)  # whoever else takes from it must see the end as well
        if found is None:
            raise StopIteration
        raise found

    def close(self) -> None:
        """Let the thread end: nobody takes any more."""
        self._closed = True
        while not self._queue.empty():
            self._queue.get_nowait()

    def _run(self) -> None:
        try:
            source = iter(self._requests)
            while batch := list(itertools.islice(source, _BATCH)):
                for rendered in self._render(batch):
                    self._queue.put(rendered)
                    if self._closed:
                        return
            self._queue.put(None)
        except BaseException as error:
            self._queue.put(error)

    def _render(self, batch: list[Request]) -> Iterator[Rendered]:
        """Chats of a batch are encoded together, on all cores that the tokenizer finds."""
        texts: dict[str, str] = {}
        direct: dict[str, Rendered] = {}
        for request in batch:
            try:
                text = self._text(request)
            except Exception as error:
                direct[request.key] = refused(request, "TemplateError", last_line(error))
                continue
            if isinstance(text, str):
                texts[request.key] = text
            else:
                direct[request.key] = self._checked(request, text)
        encoded = dict(zip(texts, self._encode(list(texts.values())), strict=True))
        for request in batch:
            if request.key in direct:
                yield direct[request.key]
                continue
            tokens = encoded[request.key]
            if isinstance(tokens, Exception):
                yield refused(request, "TemplateError", last_line(tokens))
            else:
                opened = opens_reasoning(texts[request.key])
                yield self._checked(request, tokens, opened=opened)

    def _text(self, request: Request) -> str | list[int]:
        """The prompt as text with its special tokens written out, or as tokens."""
        if request.messages is None:
            return list(self._tokenizer.encode(request.prompt or ""))
        text = self._tokenizer.apply_chat_template(
            list(request.messages),
            tokenize=False,
            add_generation_prompt=True,
            chat_template=self._model.chat_template,
            **self._model.chat_template_kwargs,
        )
        # Mistral's tokenizer answers in tokens.
        return text if isinstance(text, str) else list(text)

    def _encode(self, texts: list[str]) -> list[list[int] | Exception]:
        """Tokens of texts in which the template has written the special tokens already.

        A text that cannot be encoded (half a surrogate pair) is no reason to refuse the others.
        """
        if texts and callable(self._tokenizer):
            try:
                return list(self._tokenizer(texts, add_special_tokens=False)["input_ids"])
            except Exception:  # noqa: S110 - one by one, then
                pass
        return [self._encode_one(text) for text in texts]

    def _encode_one(self, text: str) -> list[int] | Exception:
        try:
            return list(self._tokenizer.encode(text, add_special_tokens=False))
        except Exception as error:
            return error

    def _checked(self, request: Request, tokens: list[int], *, opened: bool = False) -> Rendered:
        if len(tokens) >= self._most:
            message = (
                f"the prompt has {len(tokens)} tokens, the model takes {self._most} with the answer"
            )
            return refused(request, "PromptTooLong", message, len(tokens))
        if not tokens:
            return refused(request, "EmptyPrompt", "the prompt has no tokens")
        return Rendered(request, tokens, opened)


def refused(request: Request, kind: str, message: str, tokens: int | None = None) -> Rendered:
    """A request that cannot be asked, with the answer that says so."""
    answer = Answer(
        key=request.key,
        text=None,
        finish_reason=None,
        prompt_tokens=tokens,
        completion_tokens=None,
        inference_time=None,
        finished=utc_now(),
        error=AnswerError(kind, message, permanent=True),
    )
    return Rendered(request, [], refusal=answer)


def last_line(error: BaseException) -> str:
    """What a person can use of an exception: its type and the first line of its text."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
