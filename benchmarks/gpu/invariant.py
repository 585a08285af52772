"""Greedy answers of pipeline and plain vLLM once more, with kernels that no batch changes.

Floating-point sums differ with the batch, so greedy answers part at near ties, of plain vLLM with
itself as well. `VLLM_BATCH_INVARIANT=1` sums in one order whatever the batch: where the pipeline and
plain vLLM then agree on every token, nothing but that order ever parted them.
"""

from typing import Any

import faults
from bench import Bench
from common import Project, prompts

ENVIRONMENT = {"VLLM_BATCH_INVARIANT": "1"}


def measure(bench: Bench) -> dict[str, Any]:
    """SmolLM2 on real weights at temperature 0, the variable set for the whole workflow."""
    options = bench.options
    if options.tiny:
        return {"left_out": "its kernels need a GPU"}
    model = {
        "name": faults.GREEDY,
        "base": "smollm2:135m",
        "path": str(options.smollm2),
        "sampling": {"temperature": 0.0, "ignore_eos": False},
    }
    work = Project(bench.setting, "invariant", [model], prompts(options.greedy))
    work.environment = ENVIRONMENT
    outcome = work.run(1, bench.left, bench.one)
    specs = faults.greedy_specs(options.smollm2, options.greedy)
    found = bench.raw("invariant-plain", specs, environment=ENVIRONMENT)
    plain, other = (found.get(spec["name"], {}) for spec in specs)
    return {"workflow": outcome, **ENVIRONMENT, **faults.agreement(work, plain, other)}
