"""Plans to look at: reports of a realistic shape, scheduled by the real scheduler."""

from collections.abc import Sequence
from dataclasses import dataclass

from evalpack.plan.report import GB, ModelRow, PlanReport, size_label
from evalpack.plan.schedule import Job, Schedule, simulate

HOSTILE = "</script><img src=x onerror=alert(1)>"

LINEUP = {
    "llama3.2:1b": 2.5,
    "llama3.2:3b": 6.4,
    "mistral:7b": 14.5,
    "qwen2.5:7b": 15.2,
    "llama3.1:8b": 16.1,
    "llama3:8b": 16.1,
    "qwen2.5-32b": 65.5,
    "gpt-oss-120b": 65.2,
    "llama3.3-70b": 141.1,
    "qwen2.5-72b": 145.4,
}
"""Models and the gigabytes of their weights."""


@dataclass(frozen=True)
class Asked:
    """A model to plan for."""

    name: str
    gigabytes: float
    gpus: int
    shards: int = 1


def lineup() -> list[Asked]:
    """Ten models of 1B to 120B."""
    return [
        Asked(name, size, 1 if size < 66 else 4 if size < 142 else 2, 2 if size < 3 else 1)
        for name, size in LINEUP.items()
    ]


def many(count: int, widest: int = 4) -> list[Asked]:
    """So many models of mixed sizes; equal calls give equal models."""
    sizes = (1.2, 3.1, 7.6, 14.5, 16.1, 28.4, 54.0, 65.5, 93.4, 141.1)
    chosen = (sizes[number * 7 % len(sizes)] for number in range(count))
    return [
        Asked(
            f"family-{number:03d}:{size:.0f}b",
            size,
            min(widest, 1 if size < 66 else 2 + size // 100 * 2),
            1 + number % 9 // 7,
        )
        for number, size in enumerate(chosen)
    ]


def report(
    models: Sequence[Asked],
    gpus: int,
    *,
    run: str = "demo",
    price: float | None = 2.5,
    notes: Sequence[str] = (),
    slower: float = 1.0,
    lead: float = 0.0,
) -> PlanReport:
    """The plan of these models on so many GPUs of 80 GB.

    `slower` stretches all times but `lead`, before which no job begins.
    """
    jobs = [
        Job(
            model=asked.name,
            shard=shard,
            shards=asked.shards,
            gpus=int(asked.gpus),
            start=slower * (45 + 1.6 * asked.gigabytes),
            generate=slower * (120 + 21 * asked.gigabytes / asked.gpus) / asked.shards,
        )
        for asked in models
        for shard in range(1, asked.shards + 1)
    ]
    jobs.sort(key=lambda job: (-job.gpus, -job.seconds))
    schedule = simulate(jobs, gpus, lead)
    return PlanReport(
        run=run,
        gpu_type="A100-80GB",
        gpu_memory=int(84.9 * GB),
        gpus=gpus,
        rows=[_row(asked, schedule) for asked in models],
        schedule=schedule,
        one_at_a_time=sum(job.seconds for job in jobs),
        phases=1.3 * schedule.makespan,
        lower_bound=lead + max(schedule.gpu_seconds / gpus, *(job.seconds for job in jobs)),
        solved_by="list scheduling",
        price=price,
        notes=notes,
    )


def _row(asked: Asked, schedule: Schedule) -> ModelRow:
    mine = [place for place in schedule.placed if place.job.model == asked.name]
    weight_bytes = int(asked.gigabytes * GB)
    each = weight_bytes // int(asked.gpus)
    return ModelRow(
        model=asked.name,
        slug="slug",
        size=size_label(weight_bytes),
        weight_bytes=weight_bytes,
        gpus=int(asked.gpus),
        shards=asked.shards,
        weights_each=each,
        kv_each=max(int(0.9 * 84.9 * GB) - each - 3_000_000_000, 0),
        other_each=3_000_000_000,
        batch=256,
        requests=650,
        start=mine[0].job.start,
        generate=mine[0].job.generate,
        begin=min(place.begin for place in mine),
        finish=max(place.end for place in mine),
    )
