"""Everything that is measured on GPUs, by one command.

    python benchmarks/gpu/all.py --smollm2 models/smollm2-135m-instruct
    python benchmarks/gpu/all.py --parts recipe lineup --requests 2000
    python benchmarks/gpu/all.py --tiny            # no GPU: do the scripts run

    python benchmarks/gpu/all.py --detach LOG …           # returns at once; then, as often as needed:
    python benchmarks/gpu/all.py --wait LOG --seconds 500

It needs no hub. The parts, one after the other: `recipe` (the three-phase recipe on a sample) and
`lineup` on all GPUs; then on one GPU `efficiency` (a whole job against one `LLM.generate` call), `tools`
(vLLM's own), `startup` (warm handovers against plain starts), `faults` (out of memory, a killed job,
greedy answers) and `invariant` (greedy answers with kernels that no batch changes). Results:
benchmarks/results/gpu-*.json, written part by part; a part that fails says so and keeps none of the
others from running, and no part takes longer than `--part-minutes`.
"""

import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import detach
import efficiency
import faults
import invariant
import lineup
import recipe
import startup
import tools
from bench import Bench
from common import Setting, write
from options import PARTS, parse_options

MEASURES: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "recipe": recipe.measure,
    "lineup": lineup.measure,
    "efficiency": efficiency.measure,
    "tools": tools.measure,
    "startup": startup.measure,
    "faults": faults.measure,
    "invariant": invariant.measure,
}


def main() -> None:
    """Measure, or follow what measures."""
    options = parse_options(__doc__ or "")
    if options.wait:
        sys.exit(detach.wait(options.wait, options.seconds))
    if options.detach:
        arguments = _without(sys.argv[1:], "--detach")
        pid = detach.detach(options.detach, [sys.executable, __file__, *arguments])
        print(f"process {pid}; follow it with --wait {options.detach}")
        return
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        logs = options.logs
        logs.mkdir(parents=True, exist_ok=True)
        setting = Setting(Path(scratch), options.results, options.tokenizer, options.tiny, logs)
        sys.exit(measure(Bench(setting, options)))


def measure(bench: Bench) -> int:
    """Run the parts that were asked for; how many failed."""
    bench.write_weights()
    failed = 0
    for part in PARTS:
        if part not in bench.options.parts:
            continue
        if not bench.begin():
            print(f"{part}: left out, the time is up", flush=True)
            continue
        try:
            bench.found[part] = MEASURES[part](bench)
        except Exception:
            traceback.print_exc()
            print(f"{part}: failed", flush=True)
            failed += 1
        else:
            write(bench.setting, part, bench.found[part])
    bench.weights()
    return failed


def _without(arguments: list[str], flag: str) -> list[str]:
    """Arguments without a flag and its value, in either way of writing them."""
    kept = [one for one in arguments if not one.startswith(f"{flag}=")]
    if flag in kept:
        at = kept.index(flag)
        del kept[at : at + 2]
    return kept


if __name__ == "__main__":
    main()
