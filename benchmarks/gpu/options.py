"""What `all.py` can be told."""

import argparse
from pathlib import Path

from common import HERE, REPOSITORY
from ten import TEN

PARTS = ("recipe", "lineup", "efficiency", "tools", "startup", "faults", "invariant")
"""In the order in which they are measured."""
COMPARED = ("llama3.1:8b", "llama3.2:3b", "llama3.2:1b")


def parse_options(doc: str) -> argparse.Namespace:
    """The command line, with what is left out filled in.

    Args:
        doc: of the script; its first line is the help's.
    """
    parser = argparse.ArgumentParser(description=doc.split("\n", maxsplit=1)[0])
    add = parser.add_argument
    smollm2 = REPOSITORY / "models/smollm2-135m-instruct"
    add("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    add("--models", nargs="+", default=list(TEN), help="names of config/models.yaml")
    add("--skip", nargs="*", default=[], help="models to leave out")
    add("--compare", nargs="*", default=list(COMPARED), help="held against one raw call")
    add("--requests", type=int, default=5000)
    add("--greedy", type=int, default=500, help="prompts of SmolLM2, of faults and of handovers")
    add("--gpus", type=int, default=0, help="default: all there are")
    add("--minutes", type=float, default=60, help="after which what runs is ended")
    add("--part-minutes", type=float, default=15, help="that one part may take")
    add("--smollm2", type=Path, default=smollm2, help="folder of the real SmolLM2-135M-Instruct")
    add("--tokenizer", type=Path, default=smollm2, help="folder of a tokenizer, for all others")
    add(
        "--real", action=argparse.BooleanOptionalAction, default=True, help="write 16 GB of weights"
    )
    add("--results", type=Path, default=HERE.parent / "results")
    add("--scratch", type=Path, default=None)
    add("--logs", type=Path, default=Path("logs/gpu"))
    add("--tiny", action="store_true", help="small models on the CPU, to try the scripts")
    add("--detach", type=Path, metavar="LOG", help="start this in the background and return")
    add("--wait", type=Path, metavar="LOG", help="follow what --detach started")
    add("--seconds", type=float, default=500, help="that --wait waits at most")
    options = parser.parse_args()
    for name in ("smollm2", "tokenizer", "results", "logs"):
        setattr(options, name, getattr(options, name).resolve())
    if options.tiny:
        options.models = ["smollm2:135m"] if options.models == list(TEN) else options.models
        options.requests, options.greedy, options.gpus = 8, 6, 1
        options.compare = options.models[:1]
    options.models = [name for name in options.models if name not in options.skip]
    if not options.gpus:
        from evalpack import leases  # noqa: PLC0415

        options.gpus = len(leases.usable_devices())
    return options
