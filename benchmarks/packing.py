"""How good the packing is: evalpack's plans against what people do without one, and a lower bound.

    python benchmarks/packing.py                       # the ten-model lineup and 1,000 random ones
    python benchmarks/packing.py --lineups 100 --solver-seconds 0

All schedules are simulated with the same cost model, start-ups included: one model at a time; three
phases (small models on one GPU each, medium on two, large on four, with a barrier after each); plain
greedy (as the config lists them, undivided); evalpack's list scheduling, as in a dry run; and
`evalpack plan` with its integer program. No plan of the same options can be shorter than the lower
bound. Results go to benchmarks/results/packing.json.
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from machine import hardware
from ten import TEN

from evalpack.errors import UserError
from evalpack.lineup import load_models
from evalpack.models import Model
from evalpack.plan.fit import able_sizes
from evalpack.plan.hardware import GPUS
from evalpack.plan.make import make_plan
from evalpack.plan.plan import Ask, Plan
from evalpack.plan.pool import Pool
from evalpack.plan.workload import Workload

HERE = Path(__file__).resolve().parent
MODELS = {
    name: Model.from_mapping({**entry, "name": name})
    for name, entry in load_models(HERE.parent / "config" / "models.yaml").items()
}
WAYS = ("one_at_a_time", "phases", "plain_greedy", "list_scheduling", "evalpack_plan")
AIMS = {"median": 1.03, "worst": 1.15}


def workload(requests: int, prompt: int, output: int) -> Workload:
    """Requests of `prompt` tokens in and `output` out in the mean."""
    return Workload(requests, prompt, output, 4 * prompt + output + 1024, requests)


def ten_models() -> tuple[list[Ask], Pool]:
    """The lineup of config/lineup-4xa100.yaml with 5,000 moral ratings, 128 tokens out."""
    work = workload(5000, 126, 128)
    return [Ask(MODELS[name], work) for name in TEN], Pool(GPUS["A100-80GB"], 4)


def random_lineup(seed: int) -> tuple[list[Ask], Pool]:
    """1 to 50 models of models.yaml, all asked the same, on 1 to 64 GPUs that hold each of them."""
    chance = random.Random(seed)
    pool = Pool(GPUS[chance.choice(sorted(GPUS))], chance.randint(1, 64))
    work = workload(
        requests=chance.choice((13, 500, 1000, 2000, 5000, 20000)),
        prompt=chance.choice((60, 126, 600)),
        output=chance.choice((16, 128, 512)),
    )
    asks: list[Ask] = []
    count = chance.randint(1, 50)
    while len(asks) < count:
        model = chance.choice(list(MODELS.values()))
        named = replace(model, name=f"{model.name}#{len(asks)}")
        try:
            able_sizes(named, pool.device, pool.count, work)
        except UserError:
            continue  # does not fit: the small ones always do
        asks.append(Ask(named, work))
    return asks, pool


def compared(asks: Sequence[Ask], pool: Pool, solver_seconds: float) -> dict[str, Any]:
    """Makespans in seconds of each way, with the time that planning took."""
    began = time.perf_counter()
    quick = make_plan(asks, pool, {})
    between = time.perf_counter()
    best = make_plan(asks, pool, {}, solver_seconds=solver_seconds) if solver_seconds else quick
    ended = time.perf_counter()
    return {
        "models": len(asks),
        "gpus": pool.count,
        "gpu_type": pool.device.name,
        "requests": asks[0].work.requests,
        "lower_bound": quick.lower_bound,
        "one_at_a_time": quick.one_at_a_time,
        "phases": quick.phases,
        "plain_greedy": quick.plain_greedy,
        "list_scheduling": _makespan(quick),
        "evalpack_plan": _makespan(best),
        "solved_by": best.solved_by,
        "list_scheduling_took": between - began,
        "evalpack_plan_took": ended - between,
    }


def _makespan(plan: Plan) -> float:
    return plan.schedule.makespan


def one(solver_seconds: float, seed: int) -> dict[str, Any]:
    """One random lineup."""
    return {"seed": seed, **compared(*random_lineup(seed), solver_seconds)}


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Each way's makespan over the lower bound: median, 95th of 100, worst, and where it was worst."""
    found: dict[str, Any] = {}
    for way in WAYS:
        ratios = sorted((row[way] / row["lower_bound"], row["seed"]) for row in rows)
        found[way] = {
            "median": statistics.median(ratio for ratio, _ in ratios),
            "95 %": ratios[int(0.95 * (len(ratios) - 1))][0],
            "worst": ratios[-1][0],
            "worst_seed": ratios[-1][1],
        }
    found["worse_than_phases"] = sum(
        row["evalpack_plan"] > row["phases"] * (1 + 1e-9) for row in rows
    )
    found["list_scheduling_worse_than_phases"] = sum(
        row["list_scheduling"] > row["phases"] * (1 + 1e-9) for row in rows
    )
    found["slowest_list_scheduling_seconds"] = max(row["list_scheduling_took"] for row in rows)
    return found


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--lineups", type=int, default=1000, help="random lineups; default 1000")
    parser.add_argument(
        "--solver-seconds", type=float, default=5.0, help="for the integer program; default 5"
    )
    parser.add_argument("--jobs", type=int, default=1, help="lineups planned at once; default 1")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "packing.json")
    chosen = parser.parse_args()
    ten = compared(*ten_models(), chosen.solver_seconds)
    print(f"ten models on 4 A100-80GB, lower bound {ten['lower_bound']:.0f} s")
    for way in WAYS:
        print(f"  {way:16s} {ten[way]:7.0f} s  {ten[way] / ten['lower_bound']:5.3f}")
    # Not forked: HiGHS would wait for threads that a fork does not have.
    with ProcessPoolExecutor(chosen.jobs, get_context("spawn")) as workers:
        rows = []
        for row in workers.map(partial(one, chosen.solver_seconds), range(chosen.lineups)):
            rows.append(row)
            if len(rows) % 50 == 0:
                print(f"  {len(rows)} random lineups", flush=True)
    found = summary(rows)
    print(f"{len(rows)} random lineups, makespan over lower bound")
    for way in WAYS:
        of = found[way]
        print(
            f"  {way:16s} median {of['median']:6.3f}  95 % {of['95 %']:6.3f}  worst {of['worst']:7.3f}"
        )
    print(f"  worse than phases: {found['worse_than_phases']}")
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "hardware": hardware(),
        "solver_seconds": chosen.solver_seconds,
        "aims": AIMS,
        "ten_models": ten,
        "random": found,
        "lineups": rows,
    }
    chosen.output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
