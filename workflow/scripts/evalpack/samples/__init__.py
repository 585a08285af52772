"""Samples in: any input form, read once, checked row by row, written as samples.parquet."""

from evalpack.samples.glance import Glance, glance
from evalpack.samples.pipeline import prepare
from evalpack.samples.prompts import prompt_digest
from evalpack.samples.report import PrepareReport
from evalpack.samples.sidecar import Sidecar, read_sidecar, sidecar_key
from evalpack.samples.templates import PromptTemplate, load_template, resolve_template

__all__ = [
    "Glance",
    "PrepareReport",
    "PromptTemplate",
    "Sidecar",
    "glance",
    "load_template",
    "prepare",
    "prompt_digest",
    "read_sidecar",
    "resolve_template",
    "sidecar_key",
]
