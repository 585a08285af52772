"""A generate job: one shard of one model, from what is missing in the journal to the shard file."""

import traceback
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from evalpack import shards, weights
from evalpack.answering import Answering, Start, Work
from evalpack.asks import Ask, asks
from evalpack.attempts import Starts, retries
from evalpack.clock import utc_now
from evalpack.engines.base import Answer, AnswerError
from evalpack.errors import UserError
from evalpack.jobs import RunSpec
from evalpack.journal import Journal, JournalWriter, answer_row, stands
from evalpack.lengths import longest_request
from evalpack.page_cache import read_ahead
from evalpack.paths import RunPaths
from evalpack.runlock import current_owner


class GenerateJob:
    """One shard's work; what is done already is not done again."""

    def __init__(self, run_dir: Path, slug: str, index: int, of: int, params: str) -> None:
        """Read plan.json and find the weights.

        Args:
            run_dir: `<results>/<run>`.
            slug: the model's file name.
            index: number of the shard, from 1.
            of: how many shards the model has.
            params: digest of all settings that decide the answers, stored in the shard.

        Raises:
            UserError: if the plan is missing.
        """
        self.paths = RunPaths(run_dir)
        self.spec = RunSpec.load(self.paths.plan)
        self.job = self.spec.job(slug)
        self.slug, self.index, self.of, self.params = slug, index, of, params
        self.label = f"{self.job.model.name} {self._name}"
        model, note = self.job.model, self.paths.weights(slug)
        self.folder, identity, self.without_weights = weights.locate(model, note)
        self.settings = self.job.settings_digest(identity)
        # What is wanted, by key: the limit on the answer, and why there can be none.
        self.max_tokens: dict[str, int] = {}
        self.refusals: dict[str, AnswerError] = {}
        self._longest = 0
        self._ahead: Answering | None = None
        self._start = Start()
        for ask in asks(self.paths.samples, self.job, self.settings):
            if shards.shard_of(ask.key, of) == index:
                self.max_tokens[ask.key] = ask.sampling["max_tokens"]
                self._longest = max(self._longest, longest_request(ask))
                if ask.refusal is not None:
                    self.refusals[ask.key] = ask.refusal

    def prepare(self) -> None:
        """Begin what needs no device, for a job that will be asked to run soon.

        Nothing is written: whether the job runs, and when, is not known yet.
        """
        missing = self.max_tokens.keys() - self._journal().keys() - self.refusals.keys()
        if missing and self.without_weights is None:
            self._ahead = self._answering(self._name)
            self._ahead.prepare(missing)
            if self.folder is not None:
                read_ahead(Path(self.folder))

    def run(self, start: Start = Start()) -> None:  # noqa: B008 - it never changes
        """Generate what is missing and write the shard.

        Raises:
            EngineFailure: if the engine failed; what it answered is in the journal.
            LeaseTimeout: if no GPU came free in time.
        """
        given_up = None
        self._start = start
        missing = self._missing()
        total = len(self.max_tokens)
        self._say(f"{total - len(missing)} answers in the journal, {len(missing)} to generate")
        if missing:
            given_up = self._generate_unless_hopeless(missing)
        path = self.paths.shard(self.slug, self.index, self.of)
        shards.write(path, self._rows(given_up), settings=self.settings, params=self.params)

    def pilot(self, answers: int, start: Start = Start()) -> None:  # noqa: B008
        """Generate a few of the missing answers, for what they tell of speed and lengths.

        They are journalled like all others, so that the run does not ask for them again.

        Args:
            answers: how many, spread over the samples by chance (keys are digests).
            start: how the job was started.

        Raises:
            UserError: if the weights are not there.
            EngineFailure: if the engine failed.
        """
        if self.without_weights is not None:
            raise UserError(str(self.without_weights))
        self._start = start
        chosen = sorted(self._missing())[:answers]
        self._say(f"pilot of {len(chosen)} answers")
        if chosen:
            self._generate(chosen, name="pilot")

    def _missing(self) -> set[str]:
        """Keys that an engine must answer, after all that earlier jobs left has been used."""
        journal = self._journal()
        if journal.damaged:
            self._say(f"{journal.damaged} damaged journal lines count as missing")
        missing = self.max_tokens.keys() - journal.keys()
        if not missing:
            return missing
        with JournalWriter(self.paths.journal(self.slug), self.settings) as writer:
            salvaged = 0
            for row in shards.salvage(self.paths.generations(self.slug), self.settings, missing):
                if self._stands(row):
                    writer.append(row)
                    missing.discard(row["key"])
                    salvaged += 1
            for key in missing & self.refusals.keys():
                writer.append(self._error_row(key, self.refusals[key]))
        if salvaged:
            self._say(f"{salvaged} answers recovered from earlier shards")
        return missing - self.refusals.keys()

    def _generate_unless_hopeless(self, missing: Collection[str]) -> AnswerError | None:
        """Generate; a job that cannot end well gives up and returns the reason."""
        if self.without_weights is not None:
            self._say(str(self.without_weights))
            return self.without_weights
        retry = retries(self.paths.retries).get(self.slug, 0)
        scope = f"{current_owner(self.paths.lock)}/{self.params}/{retry}"
        note = self.paths.starts(self.slug, self.index, self.of)
        starts = Starts(note, scope, self.spec.retries)
        if starts.hopeless:
            self._say(f"given up after {starts.count} starts that failed: {starts.cause}")
            return starts.cause
        starts.begin()
        try:
            self._generate(missing, name=self._name, starts=starts)
        except Exception as error:
            reason = (str(error).splitlines() or ["no message"])[0]
            starts.failed(AnswerError(type(error).__name__, reason, permanent=False))
            if not starts.last:
                raise
            traceback.print_exc()
            return starts.cause
        return None

    def _generate(
        self, missing: Collection[str], *, name: str, starts: Starts | None = None
    ) -> None:
        """Answer what is missing and journal every answer."""
        answering = self._ahead or self._answering(name)
        with (
            JournalWriter(self.paths.journal(self.slug), self.settings) as journal,
            closing(answering.answers(missing, self._start)) as answers,
        ):
            for answer in answers:
                row = self._row(answer, answering.env_id, answering.evaluation_type)
                journal.append(row)
                if answer.error is None and starts is not None:
                    starts.progressed()

    def _answering(self, name: str) -> Answering:
        return Answering(
            Work(
                spec=self.spec,
                job=self.job,
                paths=self.paths,
                name=name,
                label=self.label,
                weights=self.folder,
                max_tokens=self.max_tokens,
                longest=self._longest,
                asks=self._asks,
                say=self._say,
            )
        )

    @property
    def _name(self) -> str:
        return f"{self.index}-of-{self.of}"

    def _asks(self, keys: Collection[str]) -> Iterator[Ask]:
        """The asks with these keys, each once."""
        left = set(keys)
        for ask in asks(self.paths.samples, self.job, self.settings):
            if ask.key in left:
                left.discard(ask.key)
                yield ask

    def _journal(self, *, with_failures: bool = False) -> Journal:
        def usable(row: dict[str, Any]) -> bool:
            if row["key"] not in self.max_tokens:
                return False
            return self._stands(row) or (with_failures and row["error"] is not None)

        return Journal(self.paths.journal(self.slug), self.settings, usable)

    def _stands(self, row: dict[str, Any]) -> bool:
        return stands(row, self.max_tokens[row["key"]], self.job.max_model_len)

    def _rows(self, given_up: AnswerError | None) -> Iterator[dict[str, Any]]:
        """The shard's rows: what the journal has, and an error row for every key it lacks."""
        journal = self._journal(with_failures=True)
        yield from journal.rows()
        lost = AnswerError("Lost", "the engine returned nothing for this request", permanent=False)
        for key in self.max_tokens.keys() - journal.keys():
            yield self._error_row(key, given_up or lost)

    def _row(self, answer: Answer, env_id: str, evaluation_type: str) -> dict[str, Any]:
        return answer_row(
            answer,
            env_id=env_id,
            evaluation_type=evaluation_type,
            max_tokens=self.max_tokens[answer.key],
            max_model_len=self.job.max_model_len,
        )

    def _error_row(self, key: str, error: AnswerError) -> dict[str, Any]:
        answer = Answer(key, None, None, None, None, None, utc_now(), error=error)
        return self._row(answer, env_id="", evaluation_type=self.job.model.records_as)

    def _say(self, text: str) -> None:
        print(f"{utc_now()} {self.label}: {text}", flush=True)
