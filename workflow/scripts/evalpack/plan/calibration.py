"""Learning from finished jobs: what they measured corrects what the cost model says.

Each generate job leaves a measurement in its run's folder. They are gathered in a file per GPU
type, `<results>/_calibration/<type>.json`, which the next plan uses when it is asked to.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from evalpack.atomic import read_json, write_json
from evalpack.models import Model
from evalpack.plan.cost import Settings, Storage, generate_seconds, start_seconds
from evalpack.plan.hardware import Device
from evalpack.plan.options import Option
from evalpack.plan.workload import Workload, prompt_tokens

SCHEMA_VERSION = 1
_FOLDER = "_calibration"  # no run can have a name that begins with `_`
_MOST = 50
"""Measurements kept of a model: the newest."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one finished job measured.

    Attributes:
        job: run, model's file name and shard: a later measurement of the same job replaces it.
        model: the model's name.
        source: its hub repository or path: models of one source share what was learnt.
        gpu_type: as in `hardware.GPUS`; `CPU`.
        gpus: tensor parallel size.
        eager, max_num_seqs: how the engine ran (`max_num_seqs` None: as vLLM chooses).
        requests: that were answered.
        prompt_characters, prompt_tokens, output_tokens: of all requests together.
        max_tokens: the largest limit on an answer.
        start: seconds from the job's start to its first request, without waiting for GPUs.
        generate: seconds from there to the last answer.
        finished: UTC.
    """

    job: str
    model: str
    source: str
    gpu_type: str
    gpus: int
    eager: bool
    max_num_seqs: int | None
    requests: int
    prompt_characters: int
    prompt_tokens: int
    output_tokens: int
    max_tokens: int
    start: float
    generate: float
    finished: str

    @property
    def workload(self) -> Workload:
        """What it answered."""
        requests = max(1, self.requests)
        return Workload(
            requests=self.requests,
            prompt_tokens=self.prompt_tokens / requests,
            output_tokens=self.output_tokens / requests,
            longest=0,
            rows=self.requests,
        )

    @property
    def settings(self) -> Settings:
        """How it ran."""
        return Settings(
            tp=max(1, self.gpus), max_num_seqs=self.max_num_seqs or 256, eager=self.eager
        )


@dataclass(frozen=True, slots=True)
class Calibration:
    """Measurements on one GPU type. Without any, it changes nothing."""

    device: Device | None = None
    storage: Storage = field(default_factory=Storage)
    measurements: Sequence[Measurement] = ()
    models: Mapping[str, Model] | None = None
    """Models by source, for what the cost model says of their measurements."""

    def of(self, model: Model) -> list[Measurement]:
        """The measurements of a model, or of another one with its weights."""
        return [one for one in self.measurements if one.source == source_of(model)]

    def workload(self, model: Model, work: Workload) -> Workload:
        """The workload with the lengths of prompts and answers that were seen of this model."""
        seen = [one for one in self.of(model) if one.requests]
        if not seen:
            return work
        requests = sum(one.requests for one in seen)
        guessed = sum(
            one.requests * prompt_tokens(one.prompt_characters / one.requests) for one in seen
        )
        measured = sum(one.prompt_tokens for one in seen)
        answers = sum(one.output_tokens for one in seen) / requests
        return replace(
            work,
            prompt_tokens=work.prompt_tokens * measured / guessed
            if measured
            else work.prompt_tokens,
            output_tokens=min(work.most_output, answers),
        )

    def option(self, model: Model, option: Option) -> Option:
        """The option at the pace that was measured: this model's, else that of all on this GPU."""
        start, generate = self.factors(model, option.gpus)
        cost = option.cost
        return replace(
            option, cost=replace(cost, start=cost.start * start, generate=cost.generate * generate)
        )

    def factors(self, model: Model, gpus: int) -> tuple[float, float]:
        """Measured over predicted seconds, of starting and of generating."""
        mine = self.of(model)
        same = [one for one in mine if one.gpus == gpus]
        seen = same or mine or self.measurements
        return self._ratio(seen, 0), self._ratio(seen, 1)

    def _ratio(self, seen: Iterable[Measurement], which: int) -> float:
        measured = predicted = 0.0
        for one in seen:
            said = self.predicted(one)
            if said is not None and said[which] > 0:
                measured += (one.start, one.generate)[which]
                predicted += said[which]
        return measured / predicted if measured and predicted else 1.0

    def predicted(self, one: Measurement) -> tuple[float, float] | None:
        """What the cost model says of a measured job: seconds to start and to generate."""
        model = (self.models or {}).get(one.source)
        if model is None or self.device is None:
            return None
        start = start_seconds(model, self.device, one.settings, self.storage)
        return start, generate_seconds(model, self.device, one.workload, one.settings)


UNCALIBRATED = Calibration()


def source_of(model: Model) -> str:
    """What tells the weights of one model from another's, on every machine."""
    return model.hub or model.path or model.name


def calibration_file(results: Path, gpu_type: str) -> Path:
    """The file of one GPU type."""
    return results / _FOLDER / f"{re.sub(r'[^A-Za-z0-9._-]', '-', gpu_type)}.json"


def load(results: Path, device: Device, storage: Storage, models: Iterable[Model]) -> Calibration:
    """What was measured on a type of GPU, over all runs."""
    measurements = _read(calibration_file(results, device.name))
    return Calibration(device, storage, measurements, {source_of(m): m for m in models})


def gather(results: Path) -> None:
    """Bring the measurements of all runs' jobs into the files of their GPU types.

    What a file holds of runs that are gone stays. Two runs that end at once write the same.
    """
    found: dict[str, dict[str, Measurement]] = {}
    for path in sorted(results.glob("*/measured/*/*.json")):
        one = _measurement(read_json(path, default={}))
        if one is not None:
            found.setdefault(one.gpu_type, {})[one.job] = one
    for gpu_type, new in found.items():
        path = calibration_file(results, gpu_type)
        known = {one.job: one for one in _read(path)}
        merged = sorted(
            {**known, **new}.values(), key=lambda one: (one.source, one.finished, one.job)
        )
        kept = [
            one
            for index, one in enumerate(merged)
            if sum(later.source == one.source for later in merged[index:]) <= _MOST
        ]
        if kept != list(known.values()):
            write_json(
                path,
                {"schema_version": SCHEMA_VERSION, "measurements": [asdict(one) for one in kept]},
            )


def _read(path: Path) -> list[Measurement]:
    content = read_json(path, default={})
    if content.get("schema_version") != SCHEMA_VERSION:
        return []
    found = (_measurement(one) for one in content["measurements"])
    return [one for one in found if one is not None]


def _measurement(content: Mapping[str, Any]) -> Measurement | None:
    values = {key: value for key, value in content.items() if key != "schema_version"}
    try:
        return Measurement(**values)
    except TypeError:  # of another version of evalpack
        return None
