"""A pilot: a few answers of a model, for their lengths and its speed, before the run is planned."""

from pathlib import Path

from evalpack.answering import Start
from evalpack.atomic import read_json, write_json
from evalpack.generate import GenerateJob
from evalpack.plan.calibration import SCHEMA_VERSION


class Pilot:
    """Answers a few of a model's requests and writes what they measured.

    The output is `<run>/pilot/<slug>.json`; with the last pilot's measurement if nothing was left
    to ask, without any if there was none.
    """

    def __init__(self, run_dir: Path, slug: str, params: str, answers: int) -> None:
        """Read the plan.

        Args:
            run_dir: `<results>/<run>`.
            slug: the model's file name.
            params: digest of all settings that decide the answers.
            answers: how many.
        """
        self._job = GenerateJob(run_dir, slug, 1, 1, params)
        self._answers = answers

    def prepare(self) -> None:
        """Nothing: a pilot is never foreseen."""

    def run(self, start: Start) -> None:
        """Do it.

        Raises:
            UserError: if the weights are not there.
            EngineFailure: if the engine failed.
        """
        job = self._job
        job.pilot(self._answers, start)
        measured = read_json(job.paths.measured(job.slug, "pilot"), default=None)
        content = {"schema_version": SCHEMA_VERSION, "measured": measured}
        write_json(job.paths.pilot(job.slug), content)
