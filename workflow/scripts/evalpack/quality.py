"""The quality gate: a run whose models answered too little ends non-zero, and is tried again."""

from pathlib import Path
from typing import Any

from evalpack.atomic import read_json, write_json
from evalpack.attempts import note_retry
from evalpack.errors import UserError
from evalpack.names import slug
from evalpack.paths import RunPaths


class QualityError(UserError):
    """Models below the wanted success rate; the message names them and their causes."""


def check(metadata: Path, output: Path, min_success_rate: float) -> None:
    """Write `<run>/quality.json`, or note the models that the next run tries again.

    Args:
        metadata: the run's metadata file, with the tally of every model.
        output: `<run>/quality.json`.
        min_success_rate: least share of answered rows, 0 to 1.

    Raises:
        QualityError: if a model is below.
    """
    models = read_json(metadata)["models"]
    low = {name: t for name, t in models.items() if t["success_rate"] < min_success_rate}
    if low:
        note_retry(RunPaths(output.parent).retries, (slug(name) for name in low))
        causes = "; ".join(f"{name} {_causes(tally)}" for name, tally in low.items())
        raise QualityError(
            f"{len(low)} of {len(models)} models answered less than {min_success_rate:.0%}: {causes}."
            " All rows are written, failed ones with their error; run the same command again to try"
            " what could still succeed"
        )
    rates = {name: tally["success_rate"] for name, tally in models.items()}
    write_json(output, {"min_success_rate": min_success_rate, "success_rates": rates})


def _causes(tally: dict[str, Any]) -> str:
    counted = ", ".join(f"{count} × {kind}" for kind, count in tally["errors"].items())
    return f"({tally['success']}/{tally['rows']}: {counted})"
