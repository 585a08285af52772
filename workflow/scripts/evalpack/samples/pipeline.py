"""prepare: an input file becomes samples.parquet and its sidecar, both whole or not at all."""

import logging
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any

from evalpack.atomic import replacing
from evalpack.errors import UserError
from evalpack.samples.forms import Form, choose_form
from evalpack.samples.identity import first_repeat
from evalpack.samples.readers import Source, open_source
from evalpack.samples.report import PrepareReport, summarise
from evalpack.samples.sample import LeftOut
from evalpack.samples.sidecar import sidecar_key, write_sidecar
from evalpack.samples.spool import Spool
from evalpack.samples.tally import Tally
from evalpack.samples.templates import TEMPLATES
from evalpack.samples.values import BadValue

logger = logging.getLogger(__name__)


def prepare(
    path: Path,
    *,
    output: Path,
    sidecar: Path,
    template: str | None = None,
    limit: int | None = None,
    columns: Mapping[str, str] = MappingProxyType({}),
    templates: Path = TEMPLATES,
) -> PrepareReport:
    """Read samples from `path` and write them to the Parquet file `output`, in the same order.

    Args:
        path: a JSON array, JSONL, CSV, TSV or Parquet file, in the long or the survey form.
        output: samples.parquet; replaced only when everything is read and right.
        sidecar: JSON with the report, for planning and for the metadata of the results.
        template: a file in `templates`, or a path: for rows without a prompt of their own.
        limit: keep the first `limit` samples; all if None.
        columns: {our name: their name} for files that name their columns otherwise.
        templates: the folder that template names are relative to.

    Raises:
        UserError: naming the file, and the row or column that has to be mended.
    """
    source = open_source(path)
    key = sidecar_key(path, template=template, limit=limit, columns=columns, templates=templates)
    output.parent.mkdir(parents=True, exist_ok=True)
    with Spool(output.parent) as spool:
        form, rows = begin(source, template, columns, templates)
        tally = _read(source, rows, form, limit, spool)
        _check_whole(source, form, columns, tally, spool, whole=tally.samples != limit)
        report = summarise(source, form, tally)
        with replacing(output) as scratch:
            spool.write(scratch)
    write_sidecar(sidecar, key, report)
    for warning in report.warnings:
        logger.warning("%s", warning)
    return report


def begin(
    source: Source, template: str | None, columns: Mapping[str, str], templates: Path
) -> tuple[Form, Iterator[tuple[int, dict[str, Any]]]]:
    """Choose the form by the first row, and give all rows back, the first one included."""
    first = next(source.rows, None)
    if first is None:
        raise UserError(f"{source.path} holds no rows: samples.path must name a file with samples")
    names = first[1].keys()
    if source.tabular and (absent := sorted(set(columns.values()) - names)):
        raise _no_column(source, columns, absent[0], names)
    return choose_form(names, columns, template, templates), chain([first], source.rows)


def _read(
    source: Source,
    rows: Iterator[tuple[int, dict[str, Any]]],
    form: Form,
    limit: int | None,
    spool: Spool,
) -> Tally:
    tally = Tally()
    over = LeftOut(f"over the limit of {limit}")
    for row, raw in rows:
        tally.rows += 1
        try:
            if tally.samples == limit:
                tally.leave_out(over, form.size(raw))
                continue
            for candidate in form.samples(row, raw):
                if isinstance(candidate, LeftOut):
                    tally.leave_out(candidate)
                elif tally.samples == limit:
                    tally.leave_out(over)
                else:
                    tally.keep(candidate)
                    spool.add(candidate)
        except BadValue as error:
            raise source.error(row, error) from None
    return tally


def _check_whole(
    source: Source,
    form: Form,
    columns: Mapping[str, str],
    tally: Tally,
    spool: Spool,
    *,
    whole: bool,
) -> None:
    """What only the end can tell: ids that occur twice, columns that never came.

    Columns can still come beyond the limit, so `whole` says whether every row was looked at.
    """
    if whole and (absent := sorted(set(columns.values()) - form.names)):
        raise _no_column(source, columns, absent[0], form.names)
    if tally.samples == 0:
        raise UserError(
            f"{source.path}: none of its {tally.rows} rows gave a sample ({tally.reasons()}): "
            "nothing can be asked"
        )
    if suspects := tally.ids.repeated():
        repeat = first_repeat(spool.rows(), suspects)
        if repeat is not None:
            sample_id, first, second = repeat
            raise source.error(
                second,
                f"the id {sample_id!r} is already that of {source.unit} {first}: "
                "every sample needs its own",
            )


def _no_column(source: Source, columns: Mapping[str, str], their: str, names: Any) -> UserError:
    our = next(our for our, name in columns.items() if name == their)
    return UserError(
        f"{source.path} has no column {their!r}, which samples.columns maps to {our}; "
        f"there are {', '.join(names)}"
    )
