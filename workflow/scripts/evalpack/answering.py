"""Answering a job's requests: devices, engines, and what is told and measured meanwhile."""

import os
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from evalpack import leases
from evalpack.asks import Ask
from evalpack.engines.base import Answer, EngineFailure, EngineSpec, Request
from evalpack.engines.factory import TEST_ENGINE, load_engine
from evalpack.engines.ladder import Kind, easier
from evalpack.engines.loading import Loading
from evalpack.jobs import ModelJob, RunSpec
from evalpack.leases import Lease
from evalpack.lengths import engine_lengths, outgrown
from evalpack.measuring import Stopwatch
from evalpack.paths import RunPaths
from evalpack.progress import Progress
from evalpack.runlock import current_owner
from evalpack.telemetry import JobInfo, Recorder

_NO_DEVICE = Lease((), -1, {})


@dataclass(frozen=True, slots=True)
class Work:
    """What a job has to do.

    Attributes:
        name: of the job among its model's, such as `1-of-2`.
        label: what it is called in logs.
        weights: folder of the checkpoint.
        max_tokens: limit on the answer, by key; all keys of the job.
        longest: longest request in tokens (`lengths.longest_request`).
        asks: the asks with the given keys, each once.
        say: writes a line into the log.
    """

    spec: RunSpec
    job: ModelJob
    paths: RunPaths
    name: str
    label: str
    weights: str | None
    max_tokens: dict[str, int]
    longest: int
    asks: Callable[[Collection[str]], Iterator[Ask]]
    say: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Start:
    """How the job was started.

    Attributes:
        began: when it was asked to start, epoch seconds; None: when its process began.
        log: descriptor of the log, if the job prepared before it had one.
        told: is told of every phase that begins.
    """

    began: float | None = None
    log: int | None = None
    told: Callable[[str], None] = lambda phase: None


@dataclass(frozen=True, slots=True)
class _Stage:
    """What an engine runs on, and who is told of its phases."""

    lease: Lease
    log: int | None
    phase: Callable[[str], None]


class Answering:
    """Answers requests on one engine after another, until none is left that an engine can answer.

    The first engine takes requests as long as the prompts are, a second one those that outgrow it.
    Where memory does not suffice, an engine that needs less takes over.
    """

    env_id = evaluation_type = ""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._lengths = engine_lengths(work.job, work.longest, work.weights)
        self._ahead: tuple[frozenset[str], Loading] | None = None
        self._watch = Stopwatch(work.job, work.spec.hardware["gpu_type"])

    def prepare(self, keys: Collection[str]) -> None:
        """Begin to start the engine for these keys, as far as no device is needed."""
        if self._gated():
            self._ahead = (frozenset(keys), self._loading(self._spec(self._lengths[0]), keys))

    def answers(self, keys: Collection[str], start: Start) -> Generator[Answer, None, None]:
        """Answers to these keys, as they come.

        Raises:
            EngineFailure: if the engine failed; what it answered stands.
            LeaseTimeout: if no GPU came free in time.
        """
        work, job = self._work, self._work.job
        left, total, longest = set(keys), len(work.max_tokens), self._lengths[-1]
        self._watch.began(start.began)
        info = JobInfo(model=job.model.name, slug=job.model.slug, name=work.name, gpus=job.gpus)
        beat = work.paths.heartbeat(job.model.slug, work.name)
        with (
            Progress(beat, work.label, total, total - len(keys)) as progress,
            Recorder(
                work.paths.telemetry(job.model.slug),
                job=info,
                began=start.began,
                workflow=current_owner(work.paths.lock),
            ) as recorder,
        ):

            def phase(name: str) -> None:
                progress.phase(name)
                recorder.phase(name)
                start.told(name)

            with (
                self._first_loading(left) as first,
                self._devices(phase, recorder) as lease,
            ):
                stage, loading = _Stage(lease, start.log, phase), first
                for length in self._lengths:
                    for answer in self._descend(stage, left, length, loading):
                        if outgrown(answer, length, longest, work.max_tokens[answer.key]):
                            continue
                        left.discard(answer.key)
                        tokens = answer.completion_tokens or 0
                        progress.answered(tokens)
                        recorder.answered(tokens, answer.prompt_tokens or 0, answer.first_token)
                        self._watch.answered(answer)
                        yield answer
                    loading = None
                    if not left:
                        break
            recorder.released()
        if job.gpus:
            name = f"{work.spec.run}/{job.model.slug}/{work.name}"
            self._watch.write(work.paths.measured(job.model.slug, work.name), name)

    def _descend(
        self, stage: _Stage, left: Collection[str], length: int | None, loading: Loading | None
    ) -> Iterator[Answer]:
        """Answers of an engine of this length, or of easier ones where memory does not suffice."""
        spec = self._spec(length)
        taken: tuple[Kind, ...] = ()
        while True:
            try:
                yield from self._answers(stage, spec, left, loading)
            except EngineFailure as failure:
                step = easier(spec, failure, taken)
                if step is None:
                    if leases.report_fault(stage.lease, str(failure)):
                        self._work.say("other GPUs are tried first for ten minutes")
                    raise
                self._work.say(f"{failure}; trying again with {step.what}")
                spec, taken, loading = step.spec, (*taken, step.kind), None
            else:
                return

    def _answers(
        self, stage: _Stage, spec: EngineSpec, keys: Collection[str], loading: Loading | None
    ) -> Iterator[Answer]:
        """Answers of one engine, which is ended when it has given the last one."""
        stage.phase("loading")
        if loading is None and self._gated():
            loading = self._loading(spec, keys)
        if loading is not None:
            requests, engine = loading.requests, loading.finish(stage.lease, stage.log)
        else:
            requests = self._requests(keys)
            engine = load_engine(spec, requests)
        self.env_id, self.evaluation_type = engine.env_id, engine.evaluation_type
        self._watch.loaded(engine)
        try:
            stage.phase("generating")
            yield from engine.generate(requests)
        finally:
            stage.phase("ending")
            engine.close()

    @contextmanager
    def _devices(self, phase: Callable[[str], None], recorder: Recorder) -> Iterator[Lease]:
        """The job's GPUs, or the machine's one CPU slot; a server elsewhere needs neither."""
        work = self._work
        if work.job.gpus == 0:
            yield _NO_DEVICE
            return
        phase("waiting")
        self._watch.waiting()
        with leases.acquire(
            work.job.gpus,
            work.label,
            allowed=work.spec.hardware["allowed"],
            max_wait=work.spec.config["planning"]["max_wait"],
            log=work.say,
        ) as lease:
            self._watch.leased()
            recorder.devices(lease.devices)
            os.environ.update(lease.environment())
            yield lease

    @contextmanager
    def _first_loading(self, keys: Collection[str]) -> Iterator[Loading | None]:
        """The engine that was prepared, if it is for these keys; else a new one, if any.

        If the job gets no devices, its processes end: they would wait at the gate for ever, and
        the end of this process for them.
        """
        ahead, self._ahead = self._ahead, None
        loading: Loading | None = None
        if ahead is not None and ahead[0] == keys:
            loading = ahead[1]
        elif self._gated():
            loading = self._loading(self._spec(self._lengths[0]), keys)
        if ahead is not None and ahead[1] is not loading:
            ahead[1].abandon()
        try:
            yield loading
        finally:
            if loading is not None:
                loading.abandon()

    def _gated(self) -> bool:
        """Whether the engine can start before the job has its devices: vLLM on a GPU."""
        job = self._work.job
        if job.gpus == 0 or job.model.backend == "openai" or os.environ.get(TEST_ENGINE):
            return False
        return bool(leases.usable_devices(self._work.spec.hardware["allowed"]))

    def _loading(self, spec: EngineSpec, keys: Collection[str]) -> Loading:
        return Loading(spec, self._requests(keys))

    def _requests(self, keys: Collection[str]) -> Iterator[Request]:
        wanted = frozenset(keys)
        return (self._watch.asked(ask).request() for ask in self._work.asks(wanted))

    def _spec(self, length: int | None) -> EngineSpec:
        job = self._work.job
        return EngineSpec(
            model=job.model,
            weights=self._work.weights,
            tensor_parallel_size=max(1, job.gpus),
            max_model_len=length,
            engine_args=job.engine_args,
        )
