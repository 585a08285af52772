"""Learning from finished jobs: what they measured corrects what the cost model says.

Each generate job leaves a measurement in its run's folder. They are gathered in a file per GPU
type, `<results>/_calibration/<type>.json`, which the next plan uses when it is asked to.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import cast, get_args, get_type_hints

from evalpack.atomic import read_json, write_json
from evalpack.models import Model
from evalpack.plan.cost import generate_seconds
from evalpack.plan.hardware import Device
from evalpack.plan.options import Option
from evalpack.plan.settings import MODES, Mode, Settings
from evalpack.plan.start import Storage, start_seconds
from evalpack.plan.workload import Workload, prompt_tokens

SCHEMA_VERSION = 2
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
        mode, engines, max_num_seqs, utilization, kv_bytes: how the engines ran (see `Settings`;
            `max_num_seqs` None: as vLLM chooses).
        warm: whether the job was forked from a process that had imported vLLM.
        requests: that were answered.
        longest_output: tokens of the longest answer.
        prompt_characters, prompt_tokens, output_tokens: of all requests together.
        max_tokens: the largest limit on an answer.
        start: seconds from when the job was asked to start to its first request, without waiting for
            GPUs.
        generate: seconds from there to the last answer.
        finished: UTC.
    """

    job: str
    model: str
    source: str
    gpu_type: str
    gpus: int
    mode: str
    engines: int
    max_num_seqs: int | None
    utilization: float
    kv_bytes: int | None
    warm: bool
    requests: int
    prompt_characters: int
    prompt_tokens: int
    output_tokens: int
    longest_output: int
    max_tokens: int
    start: float
    generate: float
    finished: str

    @property
    def is_pilot(self) -> bool:
        """Whether a pilot measured it."""
        return self.job.endswith("/pilot")

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
            longest_output=self.longest_output,
        )

    @property
    def settings(self) -> Settings:
        """How it ran."""
        return Settings(
            tp=max(1, self.gpus),
            max_num_seqs=self.max_num_seqs or 256,
            mode=cast(Mode, self.mode),
            utilization=self.utilization,
            engines=max(1, self.engines),
            kv_bytes=self.kv_bytes,
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
        seen = [one for one in self.of(model) if one.requests and not _cut_short(one, work)]
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
        """Measured over predicted seconds, of starting and of generating.

        Generating: of this model at this TP, else of it at any, else of all on this GPU type. A
        pilot is its model's first job, and starts with cold caches as no later one does: where a
        model has no other job, the quickest start of all on this GPU type counts.
        """
        mine = self.of(model)
        mine = [one for one in mine if one.gpus == gpus] or mine
        settled = self._ratios([one for one in mine if not one.is_pilot], 0)
        start = median(settled) if settled else min(self._ratios(self.measurements, 0), default=1.0)
        generate = self._ratios(mine, 1) or self._ratios(self.measurements, 1)
        return start, median(generate) if generate else 1.0

    def _ratios(self, seen: Iterable[Measurement], which: int) -> list[float]:
        said = [(one, self.predicted(one)) for one in seen]
        return [
            (one.start, one.generate)[which] / predicted[which]
            for one, predicted in said
            if predicted is not None and predicted[which] > 0
        ]

    def predicted(self, one: Measurement) -> tuple[float, float] | None:
        """What the cost model says of a measured job: seconds to start and to generate."""
        model = (self.models or {}).get(one.source)
        if model is None or self.device is None:
            return None
        storage = replace(self.storage, warm=one.warm)
        start = start_seconds(model, self.device, one.settings, storage)
        return start, generate_seconds(model, self.device, one.workload, one.settings)


UNCALIBRATED = Calibration()


def _cut_short(one: Measurement, work: Workload) -> bool:
    """Whether its answers were held to a lower limit than the work's, and many ran into it."""
    return one.max_tokens < work.limit and one.output_tokens > 0.5 * one.max_tokens * one.requests


_TYPES: Mapping[str, tuple[type, ...]] = {
    name: (int, float) if kind is float else get_args(kind) or (kind,)
    for name, kind in get_type_hints(Measurement).items()
}


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

    What a file holds of runs that are gone stays. It ends when nothing is left to bring, so that of
    runs which end at once the one that writes last has them all.
    """
    while any(_bring(results, gpu_type, new) for gpu_type, new in _found(results).items()):
        pass


def _found(results: Path) -> dict[str, dict[str, Measurement]]:
    """What jobs of all runs measured, by GPU type and job."""
    found: dict[str, dict[str, Measurement]] = {}
    for path in sorted(results.glob("*/measured/*/*.json")):
        content = read_json(path)
        if isinstance(content, dict) and content.pop("schema_version", None) == SCHEMA_VERSION:
            one = _measurement(content)
            if one is not None:
                found.setdefault(one.gpu_type, {})[one.job] = one
    return found


def _bring(results: Path, gpu_type: str, new: Mapping[str, Measurement]) -> bool:
    """Whether the file of a GPU type had to be written for what is new."""
    path = calibration_file(results, gpu_type)
    known = {one.job: one for one in _read(path)}
    kept = _newest({**known, **new}.values())
    if kept == list(known.values()):
        return False
    content = {"schema_version": SCHEMA_VERSION, "measurements": [asdict(one) for one in kept]}
    write_json(path, content)
    return True


def _newest(measurements: Iterable[Measurement]) -> list[Measurement]:
    """At most `_MOST` of each model, in an order of their own."""
    by_source: dict[str, list[Measurement]] = {}
    for one in sorted(measurements, key=lambda one: (one.source, one.finished, one.job)):
        by_source.setdefault(one.source, []).append(one)
    return [one for of_model in by_source.values() for one in of_model[-_MOST:]]


def _read(path: Path) -> list[Measurement]:
    content = read_json(path)
    if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
        return []
    listed = content.get("measurements")
    found = (_measurement(one) for one in listed) if isinstance(listed, list) else ()
    return [one for one in found if one is not None]


def _measurement(content: object) -> Measurement | None:
    """A measurement as it was written, or None if it is damaged."""
    if not isinstance(content, dict) or content.keys() != _TYPES.keys():
        return None
    if not all(type(content[name]) in types for name, types in _TYPES.items()):
        return None
    if content["mode"] not in MODES:
        return None
    numbers = [value for value in content.values() if isinstance(value, int | float)]
    if not all(0 <= value < math.inf for value in numbers):
        return None
    return Measurement(**content)
