"""The workflow on real vLLM and a real model: killed in the middle, typed again, finished."""

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from project import Project

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]

PROMPTS = [f"Is it justifiable to break promise number {i}? Explain at length." for i in range(16)]


@pytest.fixture
def project(tmp_path, smollm2):
    project = Project(tmp_path, fake=False)
    project.config |= {
        "models": [{"name": "smollm2:135m", "path": str(smollm2)}],
        "sampling": {"temperature": 0.0, "max_tokens": 120},
        "conditions": [
            {"name": "plain"},
            {
                "name": "terse",
                "system_prompt": "Answer in one word.",
                "sampling": {"max_tokens": 8},
            },
        ],
        "planning": {"max_model_len": 512},
        "quality": {"min_success_rate": 0.5},
    }
    project.samples = [{"id": f"s{i}", "prompt": prompt} for i, prompt in enumerate(PROMPTS)]
    project.samples.append({"id": "long", "prompt": "very " * 600 + "long"})
    project.write()
    return project


def journalled(project: Project) -> Counter[str]:
    """Keys in the journal, with how often each was answered."""
    lines = [
        line
        for path in Path(project.results).glob("journal/*/*.jsonl")
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    return Counter(json.loads(line)["key"] for line in lines)


def test_killed_while_generating_it_finishes_with_every_row_once_and_no_answer_twice(project):
    process = project.start()
    while len(journalled(project)) < 4:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = journalled(project)
    assert len(before) < 2 * len(project.samples), "it was killed too late to show anything"

    project.run()

    assert set(journalled(project).values()) == {1}
    assert before.keys() <= journalled(project).keys()
    rows = {(r["sample_id"], r["condition"]): r for r in project.responses()}
    assert len(rows) == len(project.responses()) == 2 * len(project.samples)
    for (sample, condition), row in rows.items():
        if sample == "long":
            assert row["error"].startswith("PromptTooLong: the prompt has ")
            assert not row["success"]
            continue
        assert row["success"], row
        assert row["response"].strip()
        assert row["completion_tokens"] <= (8 if condition == "terse" else 120)
        assert row["inference_time"] > 0
        assert row["evaluation_type"] == "server"
        assert row["env_id"].startswith("vllm ")
    assert len({rows[f"s{i}", "plain"]["response"] for i in range(16)}) > 4
    assert "Nothing to be done" in project.run()


def test_an_engine_prepared_while_another_generates_gives_the_same_answers(tmp_path, smollm2):
    """Two models on one pretended GPU: the second one's engine waits at its gate for the lease."""
    project = Project(tmp_path, fake=False)
    # In float32: bfloat16's last bits differ with how a batch fills up, and with them the answers.
    engine = {"enforce_eager": True, "max_num_seqs": 8, "kv_cache_memory_bytes": 600_000_000}
    engine["dtype"] = "float32"
    project.config |= {
        "models": [
            {"name": name, "base": "smollm2:135m", "path": str(smollm2), "engine": engine}
            for name in ("first", "second")
        ],
        "sampling": {"temperature": 0.0, "max_tokens": 120},
        "planning": {"max_model_len": 512},
        "hardware": {"gpus": 1, "gpu_type": "H100-80GB"},
    }
    project.samples = [{"id": f"s{i}", "prompt": prompt} for i, prompt in enumerate(PROMPTS)]
    project.env["EVALPACK_TEST_NVML"] = "pretended_gpus:TwoGpus"
    project.write()
    project.run("--cores", "all", "--resources", "gpu=1")
    prepared = []
    for name in ("first", "second"):
        log = (project.results / "logs" / "generate" / name / "1-of-1.log").read_text()
        # vLLM's own first words come before the lease only where the engine was started ahead.
        prepared.append(log.index("Initializing a V1 LLM engine") < log.index(" leases GPU 0"))
        assert " done, 16/16 answers" in log
    assert sorted(prepared) == [False, True]
    answers = {(r["model"], r["sample_id"]): r["response"] for r in project.responses()}
    assert len(answers) == 32
    equal = sum(answers["first", f"s{i}"] == answers["second", f"s{i}"] for i in range(16))
    assert equal >= 15
