"""How an engine is run: the choices that decide its speed, and how vLLM's arguments say them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Mode = Literal["eager", "graphs", "compiled"]
"""Kernels launched one by one; as full CUDA graphs, without torch.compile; as torch.compile makes
them, with its own graphs."""
MODES: tuple[Mode, ...] = ("eager", "graphs", "compiled")

CAPTURED = 51
"""CUDA graphs that vLLM captures by default, with torch.compile."""
_LARGEST = 2048
"""Tokens of the largest graph that is captured where the plan says which: of a full batch of 1,024
that decodes, and as many tokens of new prompts again."""
_MULTIPLE = 8


@dataclass(frozen=True, slots=True)
class Settings:
    """How an engine is run.

    Attributes:
        tp: tensor parallel size.
        max_num_seqs: requests decoded together at most, by each engine.
        mode: how kernels are launched.
        utilization: share of a GPU's memory that the engines take together.
        captured: CUDA graphs of `compiled`.
        call: requests handed over at a time, which the engine drains before the next; None for a
            sliding window that never drains.
        detokenize: whether tokens become text.
        engines: engines that share each GPU, and the requests.
        kv_bytes: of KV cache on each GPU, for each engine, where that is said; None: all that is left.
    """

    tp: int = 1
    max_num_seqs: int = 1024
    mode: Mode = "eager"
    utilization: float = 0.9
    captured: int = CAPTURED
    call: int | None = None
    detokenize: bool = True
    engines: int = 1
    kv_bytes: int | None = None


def capture_sizes(max_num_seqs: int) -> list[int]:
    """Tokens of the steps that full CUDA graphs are captured for: at most 16, multiples of 8.

    A step takes the next larger graph, so that they lie closer where full batches decode (up to
    `max_num_seqs`) than beyond, where new prompts join them.

    >>> capture_sizes(64)
    [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128]
    >>> capture_sizes(4)
    [8, 16]
    """
    step = largest_graph(max_num_seqs) / 16
    sizes = {2**power for power in range(3, 11) if 2**power < step}
    sizes |= {_rounded(step * number) for number in (*range(1, 9), 10, 12, 14, 16)}
    return sorted(sizes)


def largest_graph(max_num_seqs: int) -> int:
    """Tokens of the largest graph of `capture_sizes`."""
    return min(_LARGEST, 2 * _rounded(max_num_seqs))


def graph_arguments(max_num_seqs: int) -> dict[str, Any]:
    """Arguments of vLLM for full CUDA graphs without torch.compile."""
    return {
        "enforce_eager": False,
        "compilation_config": {
            "mode": 0,
            "cudagraph_mode": "FULL",
            "cudagraph_capture_sizes": capture_sizes(max_num_seqs),
        },
    }


def mode_of(engine_args: Mapping[str, Any]) -> Mode:
    """How an engine with these arguments launches its kernels."""
    if engine_args.get("enforce_eager"):
        return "eager"
    compilation = engine_args.get("compilation_config")
    whole = isinstance(compilation, Mapping) and compilation.get("mode") == 0
    return "graphs" if whole else "compiled"


def _rounded(count: float) -> int:
    """Up to a multiple of 8."""
    return int(-(-count // _MULTIPLE) * _MULTIPLE)
