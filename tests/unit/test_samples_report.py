"""The report accounts for every row, and the sidecar knows when it is out of date."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from samples_support import TEMPLATES, jsonl, prepare_file, written

from evalpack.samples import prepare, read_sidecar, sidecar_key

ROWS = [{"id": i, "prompt": "p" * (1 + i // 2), "question": "Q", "country": "X"} for i in range(5)]


@pytest.mark.parametrize("limit", [1, 3, 5, 6, 1000, None])
def test_rows_are_either_samples_or_left_out_for_a_reason(
    tmp_path: Path, limit: int | None
) -> None:
    report = prepare_file(jsonl(tmp_path / "s.jsonl", *ROWS), limit=limit).report
    assert report.rows == 5
    assert report.samples == min(limit or 5, 5)
    assert report.samples + sum(report.left_out.values()) == 5


def test_the_sidecar_holds_the_whole_report(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "s.jsonl", *ROWS)
    prepared = prepare_file(path)
    report = json.loads(prepared.sidecar.read_text())["report"]
    assert (report["samples"], report["distinct_prompts"]) == (5, 3)
    assert (report["longest_prompt"], report["mean_prompt"]) == (3, 1.8)
    info = report["dataset_info"]
    assert info["source"] == "s.jsonl"
    assert info["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (info["format"], info["form"]) == ("jsonl", "long")
    assert (info["questions"], info["countries"], info["template"]) == (["Q"], ["X"], None)


def test_the_sidecar_is_believed_until_what_it_was_made_from_changes(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "s.jsonl", *ROWS)
    template = written(tmp_path / "own.j2", "x")
    given: dict[str, Any] = {
        "template": str(template),
        "limit": 4,
        "columns": {"nation": "country"},
    }
    prepared = prepare_file(path, **given)

    def known(**changes: Any) -> bool:
        key = sidecar_key(path, **(given | changes), templates=TEMPLATES)
        return read_sidecar(prepared.sidecar, key) is not None

    assert known()
    assert not known(limit=5)
    assert not known(columns={})
    assert not known(template=None)
    template.write_text("y")
    assert not known()
    template.write_text("x")
    assert known()
    os.utime(path, ns=(0, 0))
    assert not known()


def test_a_missing_or_torn_sidecar_is_no_sidecar(tmp_path: Path) -> None:
    assert read_sidecar(tmp_path / "gone.json", {}) is None
    assert read_sidecar(written(tmp_path / "torn.json", '{"schema_vers'), {}) is None


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """20 MB of prompts of 100 kB each, then 80 MB: the same peak to within a batch."""

    def peak(rows: int) -> int:
        path = tmp_path / f"{rows}.jsonl"
        with path.open("w") as file:
            for i in range(rows):
                file.write(json.dumps({"id": i, "prompt": f"{i} " + "word " * 20_000}) + "\n")
        code = (
            "import resource, sys; from pathlib import Path; from evalpack.samples import prepare\n"
            "p = Path(sys.argv[1])\n"
            "prepare(p, output=p.with_suffix('.parquet'), sidecar=p.with_suffix('.side'))\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
        )
        return int(done.stdout) // 1024

    assert peak(800) - peak(200) < 40


def test_reading_samples_needs_neither_torch_nor_vllm() -> None:
    code = (
        "import sys, evalpack.samples; "
        "sys.exit(bool({'torch', 'vllm', 'transformers'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_output_folder_is_made(tmp_path: Path) -> None:
    output = tmp_path / "a" / "b" / "samples.parquet"
    path = jsonl(tmp_path / "s.jsonl", *ROWS)
    prepare(path, output=output, sidecar=output.with_suffix(".json"))
    assert output.is_file()
