"""Everything that is measured on GPUs, by one command.

    python benchmarks/gpu/all.py --requests 2000 --smollm2 models/smollm2-135m-instruct
    python benchmarks/gpu/all.py --tiny            # no GPU: do the scripts run

    python benchmarks/gpu/all.py --detach LOG …           # returns at once; then, as often as needed:
    python benchmarks/gpu/all.py --wait LOG --seconds 500

It needs no hub. Parts: `plain` (vLLM as a script would use it: one `LLM.generate` call, and the
three-phase recipe on a sample), `faults` (out of memory, a killed job, greedy answers), `lineup`; then on
one GPU `tools` (vLLM's own), `startup` (warm handovers against plain starts), `invariant` (greedy
answers with kernels that no batch changes). With two GPUs `plain` and `faults` run side by side, each
on its own. Results: benchmarks/results/gpu-*.json, written part by part; a part that fails says so and
keeps none of the others from running.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import detach
import faults
import invariant
import lineup
import recipe
import startup
from common import HERE, Setting, checkpoint, write
from options import QUICK, parse_options
from weights import write_weights

WAVES = {"small": 2, "large": 1}
AIMS = {"busy_share": 0.85, "times_as_long": 5.0}
"""At least so much of the GPUs' time spent generating, and the recipe so many times as long."""


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
        Benchmark(setting, options).run()


class Benchmark:
    """The parts, in an order that leaves no GPU idle for long."""

    def __init__(self, setting: Setting, options: argparse.Namespace) -> None:
        self.setting, self.options = setting, options
        self.deadline = time.monotonic() + 60 * options.minutes
        self.gpus: int = options.gpus
        self.names: list[str] = options.models
        self.plain: dict[str, Any] = {}
        self.flag = setting.scratch / "faults-are-through"
        real = options.real and any(name in lineup.REAL for name in self.names)
        self.real = checkpoint(setting, lineup.REAL[0]) if real else None
        if options.tiny:
            self.real = None
        self.lineup = lineup.project(setting, self.names, options.requests, self.real)

    def run(self) -> None:
        """Run what was asked for."""
        parts = self.options.parts
        specs = self._specs() if "plain" in parts else []
        if "faults" not in parts:
            self.flag.touch()
        writing = threading.Thread(target=self._write_weights, daemon=True)
        writing.start()
        lanes = []
        if "plain" in parts:
            lanes.append(threading.Thread(target=self._plain, args=(specs, self._lane(-1))))
        if "faults" in parts:
            lanes.append(threading.Thread(target=self._faults, args=(self._lane(0),)))
        for lane in reversed(lanes):
            lane.start()
            if self.gpus < 2:
                lane.join()
        for lane in lanes:
            lane.join()
        writing.join()
        if "lineup" in parts:
            self._attempt("lineup", self._lineup)
        self._attempt("correctness", self._correctness)
        for name, part in (
            ("tools", self._tools),
            ("startup", self._startup),
            ("invariant", self._invariant),
        ):
            if name in parts:
                self._attempt(name, part)

    def _attempt(self, name: str, part: Callable[[], None]) -> None:
        """Do a part if there is time; what goes wrong in it is its own."""
        if self.deadline - time.monotonic() < 1:
            print(f"{name}: left out, the time is up", flush=True)
            return
        try:
            part()
        except Exception:
            traceback.print_exc()
            print(f"{name}: failed", flush=True)

    def _lane(self, which: int) -> str:
        """CUDA_VISIBLE_DEVICES of a part that needs one GPU."""
        return str(which % self.gpus) if not self.options.tiny else ""

    def _write_weights(self) -> None:
        if self.real is not None and {"lineup", "startup"} & {*self.options.parts}:
            began = time.monotonic()
            size = write_weights(self.real)
            print(f"wrote {size / 1e9:.1f} GB in {time.monotonic() - began:.0f} s", flush=True)

    def _raw(
        self,
        name: str,
        specs: list[dict[str, Any]] | dict[str, Any],
        device: str,
        script: str = "raw.py",
        more: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """What `raw.py`, or another script of its kind, found; `more` goes over its environment."""
        spec, result = (self.setting.logs / f"{name}.{end}" for end in ("spec.json", "json"))
        spec.write_text(json.dumps(specs), encoding="utf-8")
        own = {"CUDA_VISIBLE_DEVICES": device} if device else {}
        environment = {**os.environ, **own, **(more or {})}
        result.unlink(missing_ok=True)
        try:
            subprocess.run(
                [sys.executable, str(HERE / script), str(spec), str(result)],
                env=environment,
                check=False,
                timeout=max(1.0, self.deadline - time.monotonic()),
            )
        except subprocess.TimeoutExpired:
            print(f"{name}: out of time", flush=True)
        found: dict[str, Any] = json.loads(result.read_text("utf-8")) if result.exists() else {}
        spec.unlink()
        return found

    def _specs(self) -> list[dict[str, Any]]:
        """Greedy answers, one call a model, and the recipe's small and large models."""
        options = self.options
        specs = [
            faults.greedy_spec(options.smollm2, options.greedy, "greedy"),
            faults.greedy_spec(options.smollm2, options.greedy, "greedy in small batches", 64),
        ]
        compared = [name for name in options.compare if name in self.names]
        specs += lineup.raw_specs(self.lineup, compared, options.requests, self.gpus)
        if options.tiny:
            return specs
        specs.append(recipe.spec(self.setting, "small", self.gpus, WAVES["small"]))
        if any(recipe.size_class(name) == "large" for name in self.names):
            every = ",".join(map(str, range(self.gpus)))
            large = recipe.spec(self.setting, "large", self.gpus, WAVES["large"])
            # It takes all GPUs, so it waits for the other lane's.
            large |= {"after": str(self.flag), "environment": {"CUDA_VISIBLE_DEVICES": every}}
            specs.append(large)
        return specs

    def _plain(self, specs: list[dict[str, Any]], device: str) -> None:
        self.plain = self._raw("plain", specs, device)

    def _faults(self, device: str) -> None:
        options = self.options
        memory = 80 << 30 if options.tiny else _memory()
        work = faults.project(self.setting, options.smollm2, options.greedy, memory)
        try:
            left = self.deadline - time.monotonic()
            self.faults = faults.run(work, device, min(left, options.faults_minutes * 60))
        finally:
            self.flag.touch()
        self.faulty = work
        write(self.setting, "memory", self.faults)

    def _lineup(self) -> None:
        options = self.options
        outcome = self.lineup.run(self.gpus, self.deadline - time.monotonic())
        told = lineup.report(self.lineup, outcome, self.gpus)
        weights = "random, loaded from nowhere"
        if self.real is not None:
            weights += f"; {' and '.join(lineup.REAL)} from safetensors on disk"
        told |= {"requests": options.requests, "weights": weights}
        measured = {k: self.plain.get(f"recipe {k}") for k in WAVES}
        if all(found and "calls" in found for found in measured.values()):
            three = recipe.extrapolate(
                self.names, options.requests, self.gpus, measured, self.plain["import"], WAVES
            )
            ratio = three["seconds"] / told["measured"]["makespan_seconds"]
            told["recipe"] = {"measured": measured, "extrapolated": three, "times_as_long": ratio}
        told["aims"] = AIMS
        write(self.setting, "lineup", told)
        rates = {job["job"].split()[0]: job["tokens_per_second"] for job in told["jobs"]}
        efficiency = {
            name: {
                "job_tokens_per_second": rates.get(name),
                "raw_tokens_per_second": self.plain[name]["tokens_per_second"],
                "ratio": rates[name] / self.plain[name]["tokens_per_second"],
                "raw": self.plain[name],
            }
            for name in options.compare
            if name in rates and "tokens_per_second" in self.plain.get(name, {})
        }
        write(self.setting, "efficiency", {"requests": options.requests, "models": efficiency})
        handed = lineup.handovers(self.lineup, self.real is not None)
        write(
            self.setting,
            "startup",
            {"handovers": handed, "import_seconds": self.plain.get("import")},
        )

    def _tools(self) -> None:
        """What vLLM's own tools reach, beside a raw call with as many prompts on the same GPU."""
        options, device = self.options, self._lane(0)
        name = next(name for name in options.compare if name in self.names)
        requests = min(options.requests, QUICK) if options.quick else options.requests
        spec = lineup.raw_specs(self.lineup, [name], requests, self.gpus)[0]
        raw = self._raw("tools-raw", [spec], device).get(name, {})
        found = self._raw("tools", spec, device, script="tools.py")
        base = raw.get("tokens_per_second")
        ratios = {
            tool: one["tokens_per_second"] / base
            for tool, one in found.items()
            if isinstance(one, dict) and base and "tokens_per_second" in one
        }
        write(self.setting, "tools", {"model": name, "raw": raw, **found, "over_raw": ratios})

    def _startup(self) -> None:
        """Warm handovers, then plain starts, of a model on real weights; the report after each."""
        options, device = self.options, self._lane(0)
        weights, base = self.real, lineup.REAL[0]
        if weights is None:
            weights, base = options.smollm2, "smollm2:135m"
        told: dict[str, Any] = {"model": base, "requests": options.greedy}
        for kind, names in (("warm", startup.NAMES), ("plain", startup.NAMES[:2])):
            left = self.deadline - time.monotonic()
            if left < 1:
                break
            work = startup.project(
                self.setting, weights, base, options.greedy, warm=kind == "warm", names=names
            )
            told[kind] = startup.report(work, work.run(1, left, device))
            write(self.setting, "handovers", told)

    def _invariant(self) -> None:
        """Greedy answers with batch-invariant kernels, of the pipeline and of plain vLLM."""
        if self.options.tiny:
            print("invariant: left out, its kernels need a GPU", flush=True)
            return
        options, device = self.options, self._lane(0)
        work = invariant.project(self.setting, options.smollm2, options.greedy)
        outcome = work.run(1, self.deadline - time.monotonic(), device)
        specs = invariant.specs(options.smollm2, options.greedy)
        found = self._raw("invariant-plain", specs, device, more=invariant.ENVIRONMENT)
        plain, other = (found.get(spec["name"], {}) for spec in specs)
        if "answers" not in plain or "answers" not in other:
            write(self.setting, "invariant", {"workflow": outcome, "plain": plain, "other": other})
            return
        told = faults.agreement(work, plain, other)
        write(self.setting, "invariant", {"workflow": outcome, **invariant.ENVIRONMENT, **told})

    def _correctness(self) -> None:
        plain, other = (self.plain.get(n, {}) for n in ("greedy", "greedy in small batches"))
        if hasattr(self, "faulty") and "answers" in plain and "answers" in other:
            write(self.setting, "correctness", faults.agreement(self.faulty, plain, other))


def _memory() -> int:
    """Bytes of the first GPU."""
    from evalpack import leases  # noqa: PLC0415

    return leases.usable_devices()[0].memory_total


def _without(arguments: list[str], flag: str) -> list[str]:
    """Arguments without a flag and its value, in either way of writing them."""
    kept = [one for one in arguments if not one.startswith(f"{flag}=")]
    if flag in kept:
        at = kept.index(flag)
        del kept[at : at + 2]
    return kept


if __name__ == "__main__":
    main()
