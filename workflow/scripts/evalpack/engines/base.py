"""What an engine is: requests in, answers out as they finish.

vLLM and OpenAI-compatible servers are engines; tests put a deterministic one in. Everything around
an engine (keys, journal, leases, progress) knows only these types.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypedDict

from evalpack.models import Model


class Message(TypedDict):
    """One turn of a chat."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """One generation that an engine is asked for.

    Exactly one of `messages` (chat) and `prompt` (completion, sent as it is) is given. `sampling`
    holds every SamplingParams field that the run fixes, `max_tokens` and `temperature` included.
    """

    key: str
    messages: tuple[Message, ...] | None
    prompt: str | None
    sampling: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AnswerError:
    """Why a request has no answer. A permanent error would come again; others are worth a retry."""

    type: str
    message: str
    permanent: bool

    def __str__(self) -> str:
        return f"{self.type}: {self.message}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one request: a text, or an error.

    `inference_time` is seconds from being scheduled to the last token, on a monotonic clock;
    `finished` is UTC, ISO 8601 with milliseconds; `token_ids` are the raw completion tokens
    (None where a server does not tell them). `first_token` is when the first token came, in seconds
    of the epoch, where the engine tells.
    """

    key: str
    text: str | None
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    inference_time: float | None
    finished: str
    token_ids: list[int] | None = None
    error: AnswerError | None = None
    first_token: float | None = None


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """All that an engine needs to start.

    `weights` is a local folder (None for a server elsewhere). `engine_args` are the backend's own
    arguments, run-wide and per model merged.
    """

    model: Model
    weights: str | None
    tensor_parallel_size: int = 1
    max_model_len: int | None = None
    engine_args: Mapping[str, Any] = field(default_factory=dict)


class EngineFailure(RuntimeError):
    """The engine cannot go on; what it answered before stands, the rest is worth a retry.

    `memory`: it is the GPU's memory that did not suffice.
    """

    def __init__(self, message: str, *, memory: bool = False) -> None:
        super().__init__(message)
        self.memory = memory


class Engine(Protocol):
    """A loaded model. Built from an `EngineSpec`; building it loads the weights."""

    evaluation_type: str
    """`server` (vLLM), `api` or `local` (a server elsewhere), `fake` (tests)."""
    env_id: str
    """Versions and device that made the answers, for example `vllm 0.24.0, torch 2.11.0, H100`."""

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Answer every request exactly once, yielding answers in the order they finish.

        The engine pulls from `requests` only as it has room (a sliding window), never draining
        between batches. A request that cannot be answered becomes an `Answer` with an error.

        Raises:
            EngineFailure: if the engine itself dies.
        """
        ...

    def close(self) -> None:
        """Free the device; no process of the engine is left."""
        ...
