"""What a run's GPUs did, per model and in total: `telemetry/summary.json`.

A GPU-second is a second of one GPU from when a job took it to when it gave it back; where nothing
else is said, seconds are those of the clock. docs/telemetry.md defines every field.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalpack.atomic import read_json, write_json
from evalpack.paths import RunPaths
from evalpack.telemetry import attempts, spans
from evalpack.telemetry.facts import PHASES, Facts
from evalpack.telemetry.sessions import Session, sessions, utc
from evalpack.telemetry.usage import Usage, together, usage

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class _One:
    """One attempt that is over."""

    facts: Facts
    usage: Usage


def write_summary(run_folder: Path, gpus: int) -> dict[str, Any]:
    """Write `telemetry/summary.json`; see `summarise`.

    A run without telemetry keeps the summary it has.
    """
    path = RunPaths(run_folder).telemetry_summary
    summary = summarise(run_folder, gpus)
    if summary["models"] or not path.exists():
        write_json(path, summary)
    return summary


def summarise(run_folder: Path, gpus: int) -> dict[str, Any]:
    """What the attempts that are over come to; streams of dead jobs become Parquet files.

    Args:
        run_folder: `<results>/<run>`.
        gpus: that the run may use. Sessions that an earlier summary of the run knows keep the
            number that they had; one in which no job had a GPU has none.
    """
    paths = RunPaths(run_folder)
    folder = paths.telemetry_summary.parent
    known = {
        one["begin"]: one["gpus"]
        for one in read_json(paths.telemetry_summary, default={}).get("sessions", ())
    }
    done = [_One(one.facts, usage(one.table)) for one in attempts.ended(folder)]
    active = attempts.running(folder)
    models = sorted({one.facts.job.model for one in done})
    # A server elsewhere has hardware of its own: its jobs say nothing about these GPUs.
    ours = [one.facts for one in done if one.facts.job.gpus] or [one.facts for one in done]
    found = sessions(ours, gpus, known)
    return {
        "schema_version": SCHEMA_VERSION,
        "sessions": [_session(one) for one in found],
        "total": {
            "running": len(active),
            **_block(done),
            **_in_total(found, ours),
        },
        "models": {
            name: {
                "running": sum(facts.job.model == name for facts in active),
                **_block([one for one in done if one.facts.job.model == name]),
                **_of_model([one.facts for one in done if one.facts.job.model == name]),
            }
            for name in models
        },
    }


def _block(done: Sequence[_One]) -> dict[str, Any]:
    """What is the same for a model and for all."""
    facts = [one.facts for one in done]
    used = together(one.usage for one in done)
    ends = Counter(one.end for one in facts)
    answers = sum(one.answers for one in facts)
    tokens = sum(one.output_tokens for one in facts)
    generating = spans.length(spans.union(s for one in facts for s in one.spans("generating")))
    per_gpu = sum(one.gpu_seconds("generating") for one in facts)
    leased = sum(map(_leased, facts))
    return {
        "attempts": {end: ends[end] for end in ("done", "failed", "killed")},
        "answers": answers,
        "output_tokens": tokens,
        "prompt_tokens": sum(one.prompt_tokens for one in facts),
        "seconds": {
            name: _rounded(sum(spans.length(one.spans(name)) for one in facts)) for name in PHASES
        },
        "gpu_seconds": {
            **{name: _rounded(sum(one.gpu_seconds(name) for one in facts)) for name in PHASES},
            "leased": _rounded(leased),
            "wasted": _rounded(sum(_leased(one) for one in facts if not _counts(one))),
            "sampled": _rounded(used.seconds),
        },
        "gpu_hours": _rounded(leased / 3600, 6),
        "tokens_per_second": _ratio(tokens, generating),
        "tokens_per_gpu_second": _ratio(tokens, per_gpu),
        "joules": _rounded(used.joules),
        "joules_per_1000_answers": (
            None if used.joules is None else _ratio(1000 * used.joules, answers)
        ),
        "generating_utilization_percent": _rounded(used.mean_utilization),
        "generating_power_watts": _rounded(used.mean_power),
        "peak_memory_bytes": used.peak_memory,
    }


def _in_total(found: Sequence[Session], ours: Sequence[Facts]) -> dict[str, Any]:
    """Makespan, and what the GPUs did of what they could have done in it."""
    makespan = sum(one.seconds for one in found)
    available = sum(one.gpus * one.seconds for one in found)
    active = spans.length(spans.union(facts.span for facts in ours))
    return {
        "makespan_seconds": _rounded(makespan),
        "between_jobs_seconds": _rounded(makespan - active),
        **_shares(ours, available),
        "unleased_gpu_seconds": _rounded(available - sum(map(_leased, ours))),
        "speed_up": _speed_up(ours, makespan),
    }


def _of_model(facts: Sequence[Facts]) -> dict[str, Any]:
    """The same of one model, measured against the GPUs that it had and the time it worked."""
    working = [
        span for one in facts for name in PHASES if name != "waiting" for span in one.spans(name)
    ]
    makespan = spans.length(spans.union(working))
    return {
        "makespan_seconds": _rounded(makespan),
        **_shares(facts, sum(map(_leased, facts))),
        "speed_up": _speed_up(facts, makespan),
    }


def _shares(facts: Sequence[Facts], available: float) -> dict[str, Any]:
    """How much of the available GPU-seconds was spent generating, and how much on nothing.

    Loading + generating + idle = available.
    """
    loading, generating = (
        sum(one.gpu_seconds(phase) for one in facts) for phase in ("loading", "generating")
    )
    return {
        "available_gpu_seconds": _rounded(available),
        "idle_gpu_seconds": _rounded(available - loading - generating),
        "busy_share": _ratio(generating, available),
    }


def _speed_up(facts: Sequence[Facts], makespan: float) -> dict[str, Any]:
    """The same work with one job, or one GPU, at a time, over the makespan.

    `one_job_at_a_time`: what the jobs took, added up: from being asked to start to their end,
    without the wait for GPUs. That is how long they would take one after the other, if each took
    as long as it did; jobs that shared the machine may have held each other up.

    `one_gpu_at_a_time`: the GPU-seconds that they took: how long one GPU would be in use if it had
    to do, one after the other, what several did. Over the makespan this is the number of GPUs that
    worked for the run in the mean.

    Attempts that failed without an answer are no work: they lengthen the makespan alone.
    """
    work = [one for one in facts if _counts(one)]
    jobs = sum(
        spans.length(one.spans(name)) for one in work for name in PHASES if name != "waiting"
    )
    gpus = sum(map(_leased, work))
    return {
        "one_job_at_a_time": {"seconds": _rounded(jobs), "ratio": _ratio(jobs, makespan)},
        "one_gpu_at_a_time": {
            "seconds": _rounded(gpus) if gpus else None,
            "ratio": _ratio(gpus, makespan) if gpus else None,
        },
    }


def _leased(facts: Facts) -> float:
    """GPU-seconds of an attempt."""
    lease = facts.lease
    return 0.0 if lease is None else len(facts.devices) * (lease[1] - lease[0])


def _counts(facts: Facts) -> bool:
    """Whether an attempt did some of the run's work."""
    return facts.end == "done" or facts.answers > 0


def _session(one: Session) -> dict[str, Any]:
    return {
        "begin": one.begin,
        "end": utc(one.span[1]),
        "seconds": _rounded(one.seconds),
        "gpus": one.gpus,
        "attempts": one.attempts,
    }


def _ratio(value: float, base: float) -> float | None:
    return _rounded(value / base) if base > 0 else None


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(value, digits) + 0.0
