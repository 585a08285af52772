"""Requests for an LLM judge, in OpenAI's batch format, blind to the models' names."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from evalpack import keys
from evalpack.errors import UserError

# Limits of OpenAI's batch files.
MAX_REQUESTS = 50_000
MAX_BYTES = 200_000_000


class Writer:
    """Writes judge_requests.jsonl, judge_requests-2.jsonl, … and judge_requests_map.jsonl.

    The map says which row a `custom_id` stands for; the requests themselves do not name the model.
    """

    def __init__(self, folder: Path, judge: Mapping[str, Any], rubric: Path) -> None:
        """Read the rubric.

        Raises:
            UserError: if it is missing.
        """
        try:
            self._rubric = rubric.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            raise UserError(f"judge.rubric: there is no file {rubric}") from None
        self._folder, self._judge = folder, judge
        self.files: list[Path] = []
        self._requests = self._bytes = 0

    def __enter__(self) -> "Writer":
        self._folder.mkdir(parents=True, exist_ok=True)
        for stale in self._folder.glob("judge_requests*.jsonl"):
            stale.unlink()
        self.map = self._folder / "judge_requests_map.jsonl"
        self._map = self.map.open("w", encoding="utf-8")
        self._file = self._open_next()
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._map.close()

    def add(self, row: Mapping[str, Any]) -> None:
        """Write the request for a record; a row without an answer has nothing to judge."""
        if not row["success"]:
            return
        place = {name: row[name] for name in ("model", "sample_id", "condition", "draw")}
        custom_id = keys.digest([*place.values(), row["response"]])
        line = json.dumps(
            {
                "custom_id": custom_id,
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {
                    "model": self._judge["model"],
                    "messages": [
                        {"role": "system", "content": self._rubric},
                        {"role": "user", "content": _case(row)},
                    ],
                    "temperature": 0,
                    "max_tokens": self._judge["max_tokens"],
                },
            },
            ensure_ascii=False,
        )
        size = len(line.encode()) + 1
        if self._requests == MAX_REQUESTS or self._bytes + size > MAX_BYTES:
            self._file.close()
            self._file = self._open_next()
        self._file.write(line + "\n")
        self._requests += 1
        self._bytes += size
        self._map.write(json.dumps({"custom_id": custom_id, **place}, ensure_ascii=False) + "\n")

    def _open_next(self) -> TextIO:
        part = f"-{len(self.files) + 1}" if self.files else ""
        self.files.append(self._folder / f"judge_requests{part}.jsonl")
        self._requests = self._bytes = 0
        return self.files[-1].open("w", encoding="utf-8")


def _case(row: Mapping[str, Any]) -> str:
    return f"<question>\n{row['prompt']}\n</question>\n\n<answer>\n{row['response']}\n</answer>"
