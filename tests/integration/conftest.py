"""What the integration tests share."""

import sys
from pathlib import Path
from subprocess import run

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The folder of SmolLM2-135M-Instruct, a real model of 270 MB; made if it is missing."""
    folder = REPOSITORY / "models" / "smollm2-135m-instruct"
    if not folder.exists():
        # In a process of its own, so that the tests' process never imports torch.
        run([sys.executable, "-m", "evalpack.demo_model", str(folder)], check=True)
    return folder
