"""What a generate job measures of itself, for plans to come."""

import time
from dataclasses import asdict
from pathlib import Path

from evalpack.asks import Ask
from evalpack.atomic import read_json, write_json
from evalpack.clock import utc_now
from evalpack.engines.base import Answer, Engine
from evalpack.jobs import ModelJob
from evalpack.plan.calibration import SCHEMA_VERSION, Measurement, source_of
from evalpack.plan.fit import UTILIZATION
from evalpack.plan.settings import mode_of
from evalpack.processes import process_began


class Stopwatch:
    """Times of one job's phases, and the lengths of what was asked and answered.

    Start-up is counted from when the job was asked to start, without the wait for GPUs.
    """

    def __init__(self, job: ModelJob, gpu_type: str | None, began: float | None = None) -> None:
        """Begin to measure.

        Args:
            job: the job.
            gpu_type: what it runs on; None for the CPU.
            began: see `began`.
        """
        self._job, self._gpu_type = job, gpu_type or "CPU"
        self._waited = 0.0
        self.began(began)
        self._ready: float | None = None
        self._last: float | None = None
        self._engines = 0
        self._requests = self._characters = self._prompt_tokens = self._output_tokens = 0
        self._longest_output = 0
        self._asked: dict[str, int] = {}
        self.env_id = self.evaluation_type = ""

    def began(self, at: float | None) -> None:
        """The job was asked to start.

        Args:
            at: when, in seconds of the epoch, if it was forked from a process that was ready for it;
                None for a job that is a process of its own, and as old as that.
        """
        self._warm = at is not None
        self._began = process_began() if at is None else at
        self._wait_began = self._began

    def waiting(self) -> None:
        """The wait for GPUs begins."""
        self._wait_began = time.time()

    def leased(self) -> None:
        """The wait for GPUs is over."""
        self._waited += time.time() - self._wait_began

    def loaded(self, engine: Engine) -> None:
        """An engine is ready for requests."""
        self.env_id, self.evaluation_type = engine.env_id, engine.evaluation_type
        self._engines += 1
        self._ready = self._ready or time.time()

    def asked(self, ask: Ask) -> Ask:
        """Note a request on its way to the engine."""
        texts = [ask.prompt or "", *(message["content"] for message in ask.messages or ())]
        self._asked[ask.key] = sum(map(len, texts))
        return ask

    def answered(self, answer: Answer) -> None:
        """Note an answer."""
        characters = self._asked.pop(answer.key, 0)
        if answer.error is None and answer.completion_tokens is not None:
            self._requests += 1
            self._characters += characters
            self._prompt_tokens += answer.prompt_tokens or 0
            self._output_tokens += answer.completion_tokens
            self._longest_output = max(self._longest_output, answer.completion_tokens)
            self._last = time.time()

    def write(self, path: Path, job: str) -> None:
        """Leave the measurement; none if nothing was answered, or two engines took part.

        Args:
            path: where to.
            job: what tells it from all others (`Measurement.job`).
        """
        if self._ready is None or self._last is None or self._engines > 1:
            return
        if read_json(path, default={}).get("requests", 0) > self._requests:
            return  # what a rerun had left to do says less than what the job did before
        given = self._job.engine_args
        one = Measurement(
            job=job,
            model=self._job.model.name,
            source=source_of(self._job.model),
            gpu_type=self._gpu_type,
            gpus=self._job.gpus,
            mode=mode_of(given),
            engines=int(given.get("engines_per_gpu", 1)),
            max_num_seqs=given.get("max_num_seqs"),
            utilization=float(given.get("gpu_memory_utilization", UTILIZATION)),
            kv_bytes=given.get("kv_cache_memory_bytes"),
            warm=self._warm,
            requests=self._requests,
            prompt_characters=self._characters,
            prompt_tokens=self._prompt_tokens,
            output_tokens=self._output_tokens,
            longest_output=self._longest_output,
            max_tokens=max(asking.max_tokens for asking in self._job.askings),
            start=round(self._ready - self._began - self._waited, 3),
            generate=round(self._last - self._ready, 3),
            finished=utc_now(),
        )
        write_json(path, {"schema_version": SCHEMA_VERSION, **asdict(one)})
