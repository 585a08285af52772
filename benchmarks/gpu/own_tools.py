"""vLLM's own tools over the same prompts, with the same engine arguments: a second baseline.

    python benchmarks/gpu/own_tools.py SPEC RESULT

SPEC is one run of `raw.py`. `vllm bench throughput` gets the prompts as a dataset and asks at its own
temperature, 1.0; `run_batch` gets them as a file of chat requests and writes one of answers. Both are
called as modules, since `vllm` as a command asks for the metadata of a package of that name. Each
is a process of its own; seconds are from the first request to the last answer, without the start.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

_THROUGHPUT = """
import sys
from vllm.benchmarks.throughput import add_cli_args, main
from vllm.utils.argparse_utils import FlexibleArgumentParser
if __name__ == "__main__":
    parser = FlexibleArgumentParser()
    add_cli_args(parser)
    main(parser.parse_args())
"""
# The module that has `run_batch` moved between versions; `main` is where it says it is.
_RUN_BATCH = """
import asyncio, json, sys, time
try:
    from vllm.entrypoints.launchers.run_batch import main, parse_args
except ImportError:
    from vllm.entrypoints.openai.run_batch import main, parse_args
if __name__ == "__main__":
    module = sys.modules[main.__module__]
    inner, result = module.run_batch, sys.argv.pop()
    async def timed(*arguments, **named):
        began = time.perf_counter()
        await inner(*arguments, **named)
        with open(result, "w") as file:
            json.dump({"elapsed_time": time.perf_counter() - began}, file)
    module.run_batch = timed
    asyncio.run(main(parse_args()))
"""


def flags(arguments: Mapping[str, Any]) -> list[str]:
    """Engine arguments as a command line has them."""
    made: list[str] = []
    for name, value in arguments.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            made.append(flag if value else f"--no-{flag[2:]}")
        elif isinstance(value, Mapping | list):
            made += [flag, json.dumps(value)]
        else:
            made += [flag, str(value)]
    return made


def throughput(spec: Mapping[str, Any], folder: Path, seconds: float) -> dict[str, Any]:
    """`vllm bench throughput`: one `LLM.generate` call, of which it counts all tokens itself."""
    result, dataset = folder / "throughput.json", folder / "throughput-prompts.json"
    result.unlink(missing_ok=True)
    chats = [[{"value": text}, {"value": "an answer, unused"}] for text in _rendered(spec)]
    dataset.write_text(json.dumps([{"conversations": chat} for chat in chats]), encoding="utf-8")
    length = spec["sampling"]["max_tokens"]
    command = [sys.executable, "-c", _THROUGHPUT, *flags(spec["arguments"])]
    command += ["--dataset-name", "sharegpt", "--dataset-path", str(dataset)]
    command += ["--num-prompts", str(len(chats)), "--output-len", str(length)]
    command += ["--output-json", str(result)]
    found = _timed(command, result, folder / "throughput.log", seconds)
    return _rate(found, len(chats) * length)


def run_batch(spec: Mapping[str, Any], folder: Path, seconds: float) -> dict[str, Any]:
    """`run_batch`: OpenAI's batch format in and out, chats rendered by vLLM."""
    result, requests, answers = (
        folder / f"run-batch{end}" for end in (".json", "-requests.jsonl", "-answers.jsonl")
    )
    for file in (result, answers):
        file.unlink(missing_ok=True)
    lines = [
        {
            "custom_id": f"s{i}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {
                "model": spec["arguments"]["model"],
                "messages": [{"role": "user", "content": text}],
                **spec["sampling"],
            },
        }
        for i, text in enumerate(spec["prompts"])
    ]
    requests.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    command = [sys.executable, "-c", _RUN_BATCH, "-i", str(requests), "-o", str(answers)]
    command += [*flags(spec["arguments"]), str(result)]
    found = _timed(command, result, folder / "run-batch.log", seconds)
    if "error" in found:
        return found
    told = [json.loads(line) for line in answers.read_text("utf-8").splitlines()]
    bodies = [(one.get("response") or {}).get("body") or {} for one in told]
    tokens = sum((body.get("usage") or {}).get("completion_tokens", 0) for body in bodies)
    return _rate(found, tokens) | {"failed": sum("usage" not in body for body in bodies)}


TOOLS: dict[str, Callable[[Mapping[str, Any], Path, float], dict[str, Any]]] = {
    "vllm bench throughput": throughput,
    "run_batch": run_batch,
}


def _rate(found: dict[str, Any], tokens: int) -> dict[str, Any]:
    if "error" in found:
        return found
    seconds = found["elapsed_time"]
    return {"generate": seconds, "tokens": tokens, "tokens_per_second": tokens / seconds}


def _rendered(spec: Mapping[str, Any]) -> list[str]:
    from transformers import AutoTokenizer  # noqa: PLC0415

    tokenizer: Any = AutoTokenizer.from_pretrained(spec["arguments"]["model"])
    return [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
        )
        for text in spec["prompts"]
    ]


def _timed(command: Sequence[str], result: Path, log: Path, seconds: float) -> dict[str, Any]:
    """What a tool leaves in `result`; it is ended, engine and all, after so many seconds."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            process.wait(max(1.0, seconds))
        except subprocess.TimeoutExpired:
            return {"error": f"out of time after {seconds:.0f} s; see {log.name}"}
        finally:
            with contextlib.suppress(ProcessLookupError):  # nothing is left of one that ended well
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode or not result.exists():
        return {"error": f"ended with {process.returncode}; see {log.name}"}
    found: dict[str, Any] = json.loads(result.read_text("utf-8"))
    return found


def main() -> None:
    """Both tools, the result written after each."""
    spec = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    result = Path(sys.argv[2])
    # Without this, vLLM's CPU build asks for most of the machine's memory.
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    report: dict[str, Any] = {"requests": len(spec["prompts"])}
    for name, tool in TOOLS.items():
        report[name] = tool(spec, result.parent, spec.get("seconds", 240))
        result.write_text(json.dumps(report), encoding="utf-8")
        print(name, json.dumps(report[name]), flush=True)


if __name__ == "__main__":
    main()
