"""What came in, what went out, and what was left out for which reason."""

import hashlib
from dataclasses import dataclass
from typing import Any

from evalpack.samples.forms import Form
from evalpack.samples.readers import Source
from evalpack.samples.tally import Tally

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class PrepareReport:
    """The account of one `prepare`; samples + sum(left_out) is what all rows offered.

    Attributes:
        rows: rows read (respondents, in the survey form).
        samples: samples written.
        left_out: number of candidates by the reason why they are no samples.
        distinct_prompts: prompts that differ; equal prompts at temperature 0 are generated once.
        longest_prompt: characters.
        longest_prompt_bytes: bytes in UTF-8, which no tokenizer makes more tokens of.
        mean_prompt: characters.
        label_leaks: samples whose prompt gives away their human_response.
        warnings: sentences for the user.
        dataset_info: what the metadata of the results says about the samples.
    """

    rows: int
    samples: int
    left_out: dict[str, int]
    distinct_prompts: int
    longest_prompt: int
    longest_prompt_bytes: int
    mean_prompt: float
    label_leaks: int
    warnings: list[str]
    dataset_info: dict[str, Any]


def summarise(source: Source, form: Form, tally: Tally) -> PrepareReport:
    """The report on a file that is read to its end, with at least one sample."""
    with source.path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    used = form.template if form.rendered else None
    info = {
        "source": source.path.name,
        "sha256": sha256,
        "format": source.form,
        "form": form.name,
        "questions": list(tally.questions),
        "countries": list(tally.countries),
        "template": {"name": used.name, "sha256": used.digest} if used else None,
        "columns_left_out": list(form.columns_left_out),
        "label_leaks": tally.leaks,
        "longest_prompt_characters": tally.longest,
    }
    return PrepareReport(
        rows=tally.rows,
        samples=tally.samples,
        left_out=dict(tally.left_out),
        distinct_prompts=tally.prompts.count(),
        longest_prompt=tally.longest,
        longest_prompt_bytes=tally.longest_bytes,
        mean_prompt=round(tally.characters / tally.samples, 1),
        label_leaks=tally.leaks,
        warnings=_warnings(source, form, tally),
        dataset_info=info,
    )


def _warnings(source: Source, form: Form, tally: Tally) -> list[str]:
    warnings = []
    if tally.first_leak is not None:
        warnings.append(
            f"LABEL LEAK: {source.path}: {tally.leaks} of {tally.samples} prompts give away their "
            f"own human_response, first {source.unit} {tally.first_leak.row} (id "
            f"{tally.first_leak.sample_id!r}): agreement with people measures nothing on them; "
            "take the answer out of the prompt or its template"
        )
    if form.template is not None and form.own:
        what = "only for the others" if form.rendered else "not used"
        warnings.append(
            f"{source.path}: {form.own} of {tally.samples} samples bring their own prompt, so the template "
            f"{form.template.name} is {what}"
        )
    if form.columns_left_out:
        names = form.columns_left_out
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        warnings.append(
            f"{source.path}: {len(names)} columns are not carried to the results "
            f"({', '.join(names[:_SHOWN])}{more}); name those you need in samples.columns"
        )
    return warnings
