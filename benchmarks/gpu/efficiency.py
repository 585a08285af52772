"""Whole jobs through Snakemake against one raw `LLM.generate` call with the same arguments.

Both on the same GPU, one right after the other: first the workflow with all models, then the calls, each
in a process of its own. A job's tokens/s are from its first request scheduled to its last token,
with journal and texts; a call's are from `generate()` called with texts to its return.
"""

from collections.abc import Sequence
from typing import Any

from bench import Bench
from common import OUTPUT, Project, dummy, generating, phases, prompts, sampling_cost


def measure(bench: Bench) -> dict[str, Any]:
    """Tokens/s of both, and their ratio, by model."""
    names, requests = bench.options.compare, bench.options.requests
    work = Project(
        bench.setting,
        "efficiency",
        [dummy(bench.setting, name) for name in names],
        prompts(requests),
        planning={"shards": 1},
    )
    specs = raw_specs(work, names, requests)
    outcome = work.run(1, bench.left, bench.one)
    attempts = work.attempts()
    jobs: dict[str, dict[str, Any]] = {
        facts.job.model: {
            "tokens_per_second": facts.output_tokens / generating(facts),
            "answers": facts.answers,
            "phases": phases(facts),
        }
        for facts in attempts
        if facts.output_tokens
    }
    called = bench.raw("efficiency-raw", specs)
    models = {}
    for name in names:
        job, call = jobs.get(name, {}), called.get(name, {})
        ours, raw = (one.get("tokens_per_second") for one in (job, call))
        models[name] = {"job": job, "raw": call, "ratio": ours / raw if ours and raw else None}
    return {
        "requests": requests,
        "workflow": outcome,
        "models": models,
        "sampling_cpu_share": sampling_cost(attempts),
    }


def raw_specs(work: Project, names: Sequence[str], requests: int) -> list[dict[str, Any]]:
    """What `raw.py` runs: the models' jobs as one call each, with the same arguments."""
    planned = work.planned(1)
    specs = []
    for name in names:
        job = next(job for job in planned.models if job.model.name == name)
        arguments = {k: v for k, v in job.engine_args.items() if k != "engines_per_gpu"}
        if job.engine_args.get("engines_per_gpu", 1) > 1:  # one engine has what two share
            arguments.pop("kv_cache_memory_bytes", None)
        specs.append(
            {
                "name": name,
                "arguments": {
                    **arguments,
                    "model": job.model.path,
                    "load_format": "dummy",
                    "dtype": "bfloat16",
                    "max_model_len": 2048,
                    "generation_config": "vllm",
                },
                "prompts": prompts(requests),
                "sampling": {"temperature": 0.7, "max_tokens": OUTPUT, "ignore_eos": True},
            }
        )
    return specs
