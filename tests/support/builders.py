"""A run folder made by hand: real samples, weights, plan and shards, without engine or Snakemake."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from evalpack import shards, weights
from evalpack.asks import Ask, asks
from evalpack.collect import collect
from evalpack.engines.base import Answer, AnswerError
from evalpack.jobs import Asking, ModelJob, RunSpec
from evalpack.journal import answer_row
from evalpack.merge import merge
from evalpack.models import Model
from evalpack.parsing import parse
from evalpack.paths import RunPaths
from evalpack.samples import prepare

REPO = Path(__file__).resolve().parents[2]
FINISHED = "2026-11-23T01:02:03.456Z"
GREEDY = {"temperature": 0.0, "max_tokens": 64}
WARM = {"temperature": 0.7, "max_tokens": 64}
RUBRIC = REPO / "config" / "judge" / "stance.md"
JUDGE = {"rubric": str(RUBRIC.relative_to(REPO)), "model": "judge-1", "max_tokens": 256}

Text = Callable[[Ask], str | AnswerError | None]


def checkpoint(folder: Path, content: str = "weights") -> Path:
    """A folder that looks like a small complete checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
    (folder / "model.safetensors").write_text(content)
    return folder


def question(i: int, **more: Any) -> dict[str, Any]:
    """A row of a samples file."""
    asked = f"Is act {i} justifiable?"
    return {"id": f"s{i}", "question": f"Q{i}", "country": "DEU", "prompt": asked, **more}


def prepared(folder: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """samples.parquet (and its sidecar) of these rows, read by the real reader."""
    folder.mkdir(parents=True, exist_ok=True)
    source = folder.parent / f"{folder.name}.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    paths = RunPaths(folder)
    prepare(source, output=paths.samples, sidecar=paths.samples_report)
    return paths.samples


def answered(key: str, text: str | AnswerError | None, **more: Any) -> dict[str, Any]:
    """A shard's row: an answer of so many words that took a tenth of a second a word."""
    error = text if isinstance(text, AnswerError) else None
    said = None if isinstance(text, AnswerError) else text
    count = len(said.split()) if said is not None else None
    seconds = count / 10 if count is not None else None
    prompt_tokens = 8 if error is None else None
    finish = "stop" if error is None else None
    answer = Answer(key, said, finish, prompt_tokens, count, seconds, FINISHED, None, error)
    row = answer_row(
        answer, env_id="engine 1", evaluation_type="server", max_tokens=64, max_model_len=2048
    )
    return {**row, **more}


def rating(_: Ask) -> str:
    """What a model says that does its work."""
    return "Rating: 8. That is acceptable."


class Run:
    """A run of some models, each with two shards; what a test changes, it changes before writing."""

    def __init__(
        self,
        folder: Path,
        rows: Iterable[Mapping[str, Any]],
        models: Iterable[str] = ("tiny",),
        askings: Iterable[Asking] = (Asking("default", GREEDY),),
    ) -> None:
        self.dir = folder / "results" / "test"
        self.paths = RunPaths(self.dir)
        self.samples = prepared(self.dir, rows)
        self.askings = tuple(askings)
        self.jobs = {
            name: ModelJob(
                Model(name, path=str(checkpoint(folder / "models" / str(number), name))),
                self.askings,
                shards=2,
            )
            for number, name in enumerate(models)
        }
        self.save()

    def save(self) -> None:
        """Write plan.json."""
        config = {
            "conditions": [{"name": a.name} for a in self.askings],
            "judge": JUDGE,
            "planning": {"max_wait": 60},
        }
        hardware = {"gpu_type": "H100-80GB", "gpus": 2, "allowed": None}
        RunSpec("test", tuple(self.jobs.values()), hardware, config).save(self.paths.plan)

    def change(self, name: str, **fields: Any) -> None:
        """Change fields of a model, in the plan as well."""
        job = self.jobs[name]
        self.jobs[name] = replace(job, model=replace(job.model, **fields))
        self.save()

    def settings(self, name: str) -> str:
        model = self.jobs[name].model
        identity = weights.locate(model, self.paths.weights(model.slug))[1]
        return self.jobs[name].settings_digest(identity)

    def asks(self, name: str = "tiny") -> list[Ask]:
        return list(asks(self.samples, self.jobs[name], self.settings(name)))

    def shard_paths(self, name: str = "tiny") -> list[Path]:
        job = self.jobs[name]
        slug = job.model.slug
        return [self.paths.shard(slug, i + 1, job.shards) for i in range(job.shards)]

    def write_shards(self, name: str = "tiny", text: Text = rating, **more: Any) -> None:
        """Answer every key once; the rows are in no order that merging could lean on."""
        rows = {
            ask.key: answered(ask.key, ask.refusal or text(ask), **more) for ask in self.asks(name)
        }
        paths = self.shard_paths(name)
        for index, path in enumerate(paths, start=1):
            mine = [rows[k] for k in sorted(rows) if shards.shard_of(k, len(paths)) == index]
            shards.write(path, mine, settings=self.settings(name), params="p")

    def merge(self, name: str = "tiny", params: str = "p") -> list[dict[str, Any]]:
        slug = self.jobs[name].model.slug
        count = merge(self.dir, slug, self.shard_paths(name), params)
        rows: list[dict[str, Any]] = pq.read_table(self.paths.merged(slug)).to_pylist()
        assert len(rows) == count
        return rows

    def finish(self, text: Mapping[str, Text] | Text = rating, **more: Any) -> list[Path]:
        """Answer, merge, parse and collect all models; returns the judge-ready files."""
        for name, job in self.jobs.items():
            said = text if callable(text) else text[name]
            self.write_shards(name, said, **more)
            self.merge(name)
            slug = job.model.slug
            parse(self.paths.merged(slug), self.paths.responses(slug), "moral_rating")
        return self.collect()

    def collect(self) -> list[Path]:
        """Collect what was parsed; returns the judge-ready files."""
        responses = [self.paths.responses(job.model.slug) for job in self.jobs.values()]
        return collect(self.dir, responses, RUBRIC)
