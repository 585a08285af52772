"""What is measured: model shapes, engine settings, and what they are asked."""

from dataclasses import dataclass, field

from evalpack.plan.settings import Settings
from evalpack.plan.workload import Workload

SHORTEST, LONGEST, OUTPUT = 100, 152, 128
"""Tokens of the prompts, evenly spread, and of every answer."""


@dataclass(frozen=True, slots=True)
class Point:
    """One thing to measure; `fresh` empties the compilers' caches first."""

    name: str
    model: str
    requests: int
    settings: Settings = field(default_factory=Settings)
    fresh: bool = False

    @property
    def work(self) -> Workload:
        """What the model is asked."""
        longest = LONGEST + OUTPUT
        return Workload(self.requests, (SHORTEST + LONGEST) / 2, OUTPUT, longest, self.requests)


WIDE, NARROW = Settings(), Settings(max_num_seqs=256)
COMPILED = Settings(max_num_seqs=256, mode="compiled")
# The most telling first, should the time not be enough for all.
POINTS = (
    Point("1B eager 1024, first of the machine", "llama3.2:1b", 2000, WIDE),
    Point("1B eager 1024", "llama3.2:1b", 2000, WIDE),
    Point("8B eager 1024", "llama3.1:8b", 5000, WIDE),
    Point("3B eager 1024", "llama3.2:3b", 5000, WIDE),
    Point("8B eager 256", "llama3.1:8b", 2000, NARROW),
    Point("8B compiled 256", "llama3.1:8b", 2000, COMPILED),
    Point("30B-A3B eager 256", "qwen3:30b-a3b", 1500, NARROW),
    Point("14B eager 1024", "qwen2.5:14b", 2000, WIDE),
    Point("30B-A3B eager 1024", "qwen3:30b-a3b", 1500, WIDE),
    Point("32B eager 256", "qwen2.5-32b", 1000, NARROW),
    Point("1B eager 256", "llama3.2:1b", 2000, NARROW),
    Point("1B compiled 256", "llama3.2:1b", 2000, COMPILED),
    Point("1B compiled 256, again", "llama3.2:1b", 2000, COMPILED),
    Point("1B eager 1024, caches emptied", "llama3.2:1b", 1000, WIDE, fresh=True),
)
TINY = (
    Point("135M eager 8", "smollm2:135m", 12, Settings(max_num_seqs=8)),
    Point("135M eager 8, again", "smollm2:135m", 12, Settings(max_num_seqs=8)),
)
