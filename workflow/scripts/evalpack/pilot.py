"""A pilot: a few answers of a model, for their lengths and its speed, before the run is planned."""

from pathlib import Path

from evalpack.atomic import read_json, write_json
from evalpack.plan.calibration import SCHEMA_VERSION

ANSWERS = 64


def pilot(output: Path, slug: str, settings: str, answers: int = ANSWERS) -> None:
    """Answer a few of a model's requests and write what they measured.

    Args:
        output: `<run>/pilot/<slug>.json`; with the last pilot's measurement if nothing was left to
            ask, without any if there was none.
        slug: the model's file name.
        settings: digest of all settings that decide the answers.
        answers: how many.
    """
    from evalpack.generate import GenerateJob

    job = GenerateJob(output.parents[1], slug, 1, 1, settings)
    job.pilot(answers)
    measured = read_json(job.paths.measured(slug, "pilot"), default=None)
    write_json(output, {"schema_version": SCHEMA_VERSION, "measured": measured})
