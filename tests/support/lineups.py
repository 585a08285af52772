"""Lineups to plan: the models of config/models.yaml, and options made up at random."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from evalpack.lineup import load_models
from evalpack.models import Model
from evalpack.plan.cost import Cost
from evalpack.plan.hardware import gpu
from evalpack.plan.make import make_plan
from evalpack.plan.options import Option
from evalpack.plan.plan import Ask, Plan
from evalpack.plan.pool import Pool
from evalpack.plan.settings import Settings
from evalpack.plan.workload import Workload

REPO = Path(__file__).resolve().parents[2]
MODELS = {
    name: Model.from_mapping({**entry, "name": name})
    for name, entry in load_models(REPO / "config" / "models.yaml").items()
}
SMALL = (
    "llama3.1:8b",
    "mistral:7b",
    "qwen2.5:7b",
    "llama3.2:1b",
    "llama3.2:3b",
    "llama3:8b",
)
LARGE = ("qwen2.5-32b", "llama3.3-70b", "qwen2.5-72b", "gpt-oss-120b")
TEN = [MODELS[name] for name in (*SMALL, *LARGE)]
ANY_NAMES = st.lists(st.sampled_from(sorted(MODELS)), unique=True, min_size=1, max_size=12)


def work(requests: int = 5000, prompt: float = 126, output: float = 128, **more: Any) -> Workload:
    """Moral ratings: short prompts and short answers."""
    values = {"longest": int(prompt * 2 + output + 1024), "rows": requests} | more
    return Workload(requests, prompt, output, **values)


def pool(gpus: int = 4, gpu_type: str = "A100-80GB") -> Pool:
    """GPUs of one type."""
    return Pool(gpu(gpu_type), gpus)


def plan(
    models: Iterable[Model],
    gpus: int = 4,
    gpu_type: str = "A100-80GB",
    planning: dict[str, Any] | None = None,
    asked: Workload | None = None,
    max_model_len: int | None = 8192,
    **more: Any,
) -> Plan:
    """The plan of models that are all asked the same."""
    asks = [Ask(model, asked or work(), max_model_len) for model in models]
    return make_plan(asks, pool(gpus, gpu_type), planning or {}, **more)


def option(shards: int, gpus: int, start: float, generate: float) -> Option:
    """An option of so many seconds."""
    return Option(shards, Settings(tp=gpus), Cost(start, generate, 1, 0, 0, 0))


@st.composite
def option_lists(draw: st.DrawFn, widest: int, most: int = 4) -> list[Option]:
    """Options of one model, on GPUs that are powers of two; the least GPU-seconds first."""
    widths = [width for width in (1, 2, 4, 8) if width <= widest]
    seconds = st.floats(1, 100).map(lambda value: round(value, 1))
    found = [
        option(draw(st.integers(1, 3)), draw(st.sampled_from(widths)), 0.0, draw(seconds))
        for _ in range(draw(st.integers(1, most)))
    ]
    return sorted(found, key=lambda one: (one.area, one.seconds))


@st.composite
def option_lineups(
    draw: st.DrawFn, most_models: int = 8, most_gpus: int = 8, most_options: int = 4
) -> tuple[list[list[Option]], int]:
    """Models with options, and the number of GPUs there are."""
    gpus = draw(st.integers(1, most_gpus))
    one = option_lists(gpus, most_options)
    return draw(st.lists(one, min_size=1, max_size=most_models)), gpus
