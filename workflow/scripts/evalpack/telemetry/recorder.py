"""The recorder of one attempt at a job."""

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from evalpack import processes
from evalpack.leases.nvml import Device
from evalpack.telemetry import attempts, samples, stream
from evalpack.telemetry.facts import PHASES, DeviceInfo, End, Facts, JobInfo, PhaseSpan
from evalpack.telemetry.meter import Reading
from evalpack.telemetry.sampler import Sampler
from evalpack.telemetry.samples import Row

_logger = logging.getLogger(__name__)


class Recorder:
    """Records phases, answers and devices from `__enter__` to `__exit__` (see the package).

    What happened is in a file at most two seconds later, at once where a phase changes. Call it from
    one thread.
    """

    def __init__(
        self, folder: Path, job: JobInfo, began: float | None = None, workflow: str = ""
    ) -> None:
        """Make it; nothing is written yet.

        Args:
            folder: where the model's attempts leave their files.
            job: which job it is.
            began: when it was asked to start, epoch seconds; by default when its process began.
                From there to the first phase it is "importing".
            workflow: token of the workflow that started it (`runlock.current_owner`). The time
                between two attempts with the same token counts as the run's.
        """
        # One clock for all times of a job, which nobody sets back in the middle of it.
        self._offset = time.time() - time.monotonic()
        process = processes.identity()
        began = min(processes.process_began() if began is None else began, self._now())
        self._folder, self._pid = folder, os.getpid()
        self._facts = Facts(
            job=job,
            process=process,
            workflow=workflow or None,
            began=began,
            phases=(PhaseSpan(PHASES[0], began),),
        )
        self._rows: list[Row] = []
        self._lock = threading.Lock()  # of facts and rows; never held while a file is written
        self._writing = threading.Lock()
        self._path: Path | None = None
        self._stream: stream.StreamWriter | None = None
        self._said = False
        self._sampler = Sampler(self._sampled, self._flush)

    def __enter__(self) -> "Recorder":
        self._attempt(self._open)
        self._sampler.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if os.getpid() != self._pid:
            return  # a forked child that leaves its parent's block
        self._sampler.stop()
        end: End = "done" if kind is None else "failed"
        with self._lock:
            self._facts = self._facts.ended(end, self._now())
        self._flush()
        self._attempt(self._finish)

    def phase(self, name: str) -> None:
        """Enter a phase: importing, waiting, loading, generating, ending.

        Raises:
            ValueError: there is no such phase.
        """
        if name not in PHASES:
            raise ValueError(f"{name!r} is no phase; there are {', '.join(PHASES)}")
        with self._lock:
            self._facts = self._facts.entered(name, self._now())
        self._sampler.mark()
        self._flush()

    def devices(self, devices: Sequence[Device]) -> None:
        """The job has these GPUs from now on; none on a CPU, where nothing is sampled."""
        if not devices:
            return
        told = tuple(DeviceInfo(d.uuid, d.index, d.name, d.memory_total) for d in devices)
        with self._lock:
            self._facts = replace(self._facts, devices=told, taken=self._now())
        self._sampler.watch(devices)
        self._flush()

    def answered(self, tokens: int, prompt_tokens: int, first_token: float | None = None) -> None:
        """Count an answer.

        Args:
            tokens: of the answer.
            prompt_tokens: of its prompt.
            first_token: when its first token came, in seconds of the epoch, if that is known.
        """
        with self._lock:
            facts = self._facts
            known = [at for at in (facts.first_token, first_token) if at is not None]
            self._facts = replace(
                facts,
                answers=facts.answers + 1,
                output_tokens=facts.output_tokens + tokens,
                prompt_tokens=facts.prompt_tokens + prompt_tokens,
                first_token=min(known, default=None),
            )

    def released(self) -> None:
        """The job has given its GPUs back."""
        self._sampler.rest()
        with self._lock:
            if self._facts.taken is not None and self._facts.released is None:
                self._facts = replace(self._facts, released=self._now())
        self._flush()

    def _now(self) -> float:
        return self._offset + time.monotonic()

    def _sampled(self, device: Device, reading: Reading, age: float) -> None:
        with self._lock:
            at = self._now() - age
            if self._facts.taken is None or self._facts.released is not None:
                return  # read after the devices were given back: perhaps another's doing
            if at < self._facts.taken:
                return
            self._rows.append(samples.row(at, device.uuid, self._facts.phase_at(at), reading))

    def _flush(self) -> None:
        self._attempt(self._write)

    def _write(self) -> None:
        with self._writing:
            with self._lock:
                rows, self._rows = self._rows, []
                facts = replace(self._facts, sampling=self._sampler.state())
                if facts.end is None:
                    facts = replace(facts, known_until=self._now())
                self._facts = facts
            if self._stream is not None:
                self._stream.write(rows, facts)

    def _open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        facts = replace(self._facts, known_until=self._now())
        self._path = attempts.new_stream(self._folder, facts)
        self._stream = stream.StreamWriter(self._path, facts)

    def _finish(self) -> None:
        """Turn the stream into the Parquet file."""
        if self._stream is not None:
            self._stream.close()
        if self._path is not None and self._path.exists():
            _, table = stream.read(self._path)
            attempts.convert(self._path, self._facts, table)

    def _attempt(self, step: Callable[[], None]) -> None:
        """Do what may fail on a full disk; the job goes on without, and the log says so once."""
        try:
            step()
        except (OSError, ValueError) as error:
            broken, self._stream = self._stream, None
            if broken is not None:
                broken.close()
            if not self._said:
                _logger.warning("telemetry of this job is incomplete: %s", error)
            self._said = True
