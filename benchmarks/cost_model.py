"""Hold the cost model of `evalpack.plan.cost` against vLLM on this machine's GPU.

Each point is a model's shape and an engine's settings. It runs in a process of its own, forked from
one that has imported vLLM: `VLLMEngine`, the engine that evalpack's jobs use, is started on random
weights and answers made-up chats with exactly as many tokens as asked for. Printed and written to
benchmarks/results/ are the seconds that the cost model predicts and those that it took.

    python benchmarks/cost_model.py --tokenizer models/smollm2-135m-instruct
    python benchmarks/cost_model.py --predict --gpu-type H100-80GB     # needs no GPU
"""

import argparse
import json
import math
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from checkpoints import architecture, write_checkpoint
from machine import hardware, import_vllm
from measure import measure
from points import POINTS, TINY, Point

from evalpack.clock import utc_now
from evalpack.models import Model
from evalpack.names import slug
from evalpack.plan import cost
from evalpack.plan.hardware import CPU, Device, gpu
from evalpack.plan.start import Storage, engine_seconds

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Measure, or only predict, and write the results down point by point."""
    options = _options()
    entries = yaml.safe_load(options.models.read_text("utf-8"))
    machine = {} if options.predict else hardware()
    device = CPU if options.tiny else gpu(options.gpu_type or machine["gpu"])
    chosen = TINY if options.tiny else POINTS
    points = [point for point in chosen if options.only in point.name]
    report: dict[str, Any] = {"hardware": machine, "date": utc_now(), "points": []}
    warm: set[str] = set()  # what the compilers' caches hold
    if not options.predict:
        report["hardware"] |= import_vllm()
    deadline = time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory() as scratch:
        print(_HEADER, flush=True)
        for point in points:
            model = Model.from_mapping({**entries[point.model], "name": point.model})
            if point.fresh:
                warm.clear()
            row = _predicted(point, model, device, warm)
            left = deadline - time.monotonic()
            if not options.predict:
                if left < 1.2 * (row["predicted"]["start"] + row["predicted"]["generate"]):
                    print(f"{point.name:38} left out: {left:.0f} s are left", flush=True)
                    continue
                checkpoint = Path(scratch) / model.slug
                write_checkpoint(checkpoint, model, options.tokenizer)
                found = measure(point, model, checkpoint, options.logs, left)
                row |= {"measured": found, "ratio": _ratios(row["predicted"], found)}
            warm |= {"triton", architecture(model)} | ({"experts"} if model.experts else set())
            warm |= set() if point.settings.mode != "compiled" else {point.model}
            report["points"].append(row)
            print(_line(row), flush=True)
            if not options.predict:
                options.results.mkdir(parents=True, exist_ok=True)
                file = options.results / f"cost-model-{slug(device.name).lower()}.json"
                file.write_text(json.dumps(_rounded(report), indent=1) + "\n", encoding="utf-8")


def _predicted(point: Point, model: Model, device: Device, warm: set[str]) -> dict[str, Any]:
    """The point as JSON, with the model's seconds for it: nothing is read, vLLM is imported."""
    storage = Storage(
        math.inf,
        compiled=point.model in warm,
        inspected=architecture(model) in warm,
        # A mixture of experts has kernels of its own.
        triton=("experts" if model.experts else "triton") in warm,
    )
    work, settings = point.work, point.settings
    size = cost.batch(model, device, work, settings)
    start = engine_seconds(model, device, settings, storage)
    return {
        "name": point.name,
        "model": point.model,
        "settings": asdict(settings),
        "workload": asdict(work),
        "warm": {
            "triton": storage.triton,
            "inspected": storage.inspected,
            "compiled": storage.compiled,
        },
        "predicted": {
            "start": start,
            "generate": cost.generate_seconds(model, device, work, settings),
            "step": cost.step_seconds(model, device, work, settings, size),
            "batch": size,
        },
    }


def _ratios(predicted: dict[str, Any], measured: dict[str, Any]) -> dict[str, float]:
    """Predicted over measured, of what was measured."""
    return {key: predicted[key] / measured[key] for key in predicted if key in measured}


def _rounded(report: dict[str, Any]) -> Any:
    return json.loads(json.dumps(report), parse_float=lambda text: round(float(text), 4))


_HEADER = (
    f"{'predicted / measured':38} {'start, s':>21} {'generate, s':>23} {'step, ms':>21} tokens/s"
)


def _line(row: dict[str, Any]) -> str:
    predicted, measured, ratios = row["predicted"], row.get("measured", {}), row.get("ratio", {})
    if "error" in measured:
        return f"{row['name']:38} {measured['error']}"
    columns = []
    for key, factor, width in (("start", 1, 21), ("generate", 1, 23), ("step", 1e3, 21)):
        text = f"{predicted[key] * factor:.1f}"
        if key in measured:
            text += f" /{measured[key] * factor:6.1f} = {ratios[key]:.2f}"
        columns.append(f"{text:>{width}}")
    work = row["workload"]
    rate = work["requests"] * work["output_tokens"] / predicted["generate"]
    return " ".join(
        [f"{row['name']:38}", *columns, f"{measured.get('tokens_per_second', rate):.0f}"]
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    add = parser.add_argument
    tokenizer, models = "models/smollm2-135m-instruct", HERE.parent / "config/models.yaml"
    add("--tokenizer", type=Path, default=Path(tokenizer), help="folder of a byte-level tokenizer")
    add("--models", type=Path, default=models, help="where the shapes are described")
    add("--results", type=Path, default=HERE / "results", help="folder of the results")
    add("--logs", type=Path, default=Path("logs/cost-model"), help="folder of vLLM's logs")
    add("--gpu-type", help="what the plan calls this GPU, where NVML's name will not do")
    add("--only", default="", help="measure the points whose name has this in it")
    add("--minutes", type=float, default=60, help="points that would end later are left out")
    add("--tiny", action="store_true", help="a tiny model on the CPU, to try the script")
    add("--predict", action="store_true", help="print what is predicted, and measure nothing")
    return parser.parse_args()


if __name__ == "__main__":
    main()
