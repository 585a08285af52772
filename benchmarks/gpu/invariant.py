"""Greedy answers of pipeline and plain vLLM once more, with kernels that no batch changes.

Floating-point sums differ with the batch, so greedy answers part at near ties, of plain vLLM with
itself as well. `VLLM_BATCH_INVARIANT=1` sums in one order whatever the batch: where the pipeline and
plain vLLM then agree on every token, nothing but that order ever parted them.
"""

from pathlib import Path
from typing import Any

import faults
from common import Project, Setting, prompts

ENVIRONMENT = {"VLLM_BATCH_INVARIANT": "1"}


def project(setting: Setting, smollm2: Path, requests: int) -> Project:
    """SmolLM2 on real weights at temperature 0, the variable set for the whole workflow."""
    model = {
        "name": faults.GREEDY,
        "base": "smollm2:135m",
        "path": str(smollm2),
        "sampling": {"temperature": 0.0, "ignore_eos": False},
    }
    work = Project(setting, "invariant", [model], prompts(requests))
    work.environment = ENVIRONMENT
    return work


def specs(smollm2: Path, requests: int) -> list[dict[str, Any]]:
    """What `raw.py` runs, with ENVIRONMENT set before it imports vLLM."""
    return [
        faults.greedy_spec(smollm2, requests, "greedy"),
        faults.greedy_spec(smollm2, requests, "greedy in small batches", 64),
    ]
