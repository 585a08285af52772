"""What vLLM's own tools reach, beside a raw call with as many prompts on the same GPU."""

from typing import Any

import efficiency
from bench import Bench
from common import Project, dummy, prompts


def measure(bench: Bench) -> dict[str, Any]:
    """Tokens/s of each, and over those of the raw call (part `efficiency` has it, or it is made here)."""
    options = bench.options
    name = options.compare[0]
    work = Project(bench.setting, "tools", [dummy(bench.setting, name)], prompts(options.requests))
    spec = efficiency.raw_specs(work, [name], options.requests)[0]
    raw = bench.found.get("efficiency", {}).get("models", {}).get(name, {}).get("raw")
    raw = raw or bench.raw("tools-raw", [spec]).get(name, {})
    found = bench.raw("tools", {**spec, "seconds": bench.left / 2}, script="own_tools.py")
    base = raw.get("tokens_per_second")
    ratios = {
        tool: one["tokens_per_second"] / base
        for tool, one in found.items()
        if isinstance(one, dict) and base and "tokens_per_second" in one
    }
    return {"model": name, "raw": raw, **found, "over_raw": ratios}
