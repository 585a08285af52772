"""The resolved configuration: config.yaml, models.yaml and their overrides, checked and typed."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalpack import schema
from evalpack.errors import UserError
from evalpack.extract import PARSERS
from evalpack.lineup import Lineup
from evalpack.models import Model
from evalpack.names import RUN_NAME

DEFAULT_SAMPLING = {"temperature": 0.0, "max_tokens": 512}


@dataclass(frozen=True, slots=True)
class Condition:
    """A named way of asking: template, system prompt, sampling, and how many answers to draw."""

    name: str = "default"
    template: str | None = None
    system_prompt: str | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    n: int = 1


@dataclass(frozen=True, slots=True)
class Config:
    """What to evaluate; `raw` is the validated mapping with its defaults filled in."""

    run: str
    results: Path
    models: tuple[Model, ...]
    conditions: tuple[Condition, ...]
    sampling: Mapping[str, Any]
    raw: Mapping[str, Any]

    @property
    def run_dir(self) -> Path:
        """Folder of all files of this run."""
        return self.results / self.run

    @property
    def on_cluster(self) -> bool:
        """Whether jobs run on other machines."""
        return bool(self.raw["planning"].get("cluster"))

    def model(self, slug: str) -> Model:
        """The model whose file name is `slug`."""
        return next(model for model in self.models if model.slug == slug)

    def sampling_of(self, model: Model, condition: Condition) -> dict[str, Any]:
        """Sampling parameters of one model under one condition.

        The condition's go over the model's, which go over the run's; `stop` texts add up.
        """
        merged = {**self.sampling, **model.sampling, **condition.sampling}
        stops = [*model.stop, *merged.get("stop", ())]
        if stops:
            merged["stop"] = list(dict.fromkeys(stops))
        return merged


def load(raw: Mapping[str, Any], models_yaml: Path, source: str = "config") -> Config:
    """Check a configuration and resolve its models.

    Args:
        raw: the merged mapping of all config files; not changed.
        models_yaml: path of config/models.yaml.
        source: what errors call the configuration.

    Raises:
        UserError: one line naming the file, the key and the mend.
    """
    values = copy.deepcopy(dict(raw))
    schema.check(values, "config", source)
    if not RUN_NAME.fullmatch(values["run"]):  # the schema's `$` lets a last newline pass
        raise UserError(f"{source}: run: {values['run']!r} does not match {RUN_NAME.pattern}")
    _refuse_unknown_parsers(values["parsers"], source)
    lineup = Lineup(models_yaml, values["engine"], source)
    models = tuple(lineup.resolve(item) for item in values["models"])
    _refuse_duplicates([m.name for m in models], "models", source)
    _refuse_shared_slugs(models, source)
    conditions = tuple(Condition(**condition) for condition in values["conditions"])
    _refuse_duplicates([c.name for c in conditions], "conditions", source)
    for place, sampling in [
        ("sampling", values["sampling"]),
        *[(f"conditions.{c.name}.sampling", c.sampling) for c in conditions],
        *[(f"models.{m.name}.sampling", m.sampling) for m in models],
    ]:
        schema.check(dict(sampling), "sampling", f"{source}: {place}")
    return Config(
        run=values["run"],
        results=Path(values["results"]),
        models=models,
        conditions=conditions,
        sampling={**DEFAULT_SAMPLING, **values["sampling"]},
        raw=values,
    )


def _refuse_duplicates(names: Sequence[str], key: str, source: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise UserError(
                f"{source}: {key}: `{name}` is named twice; give each a name of its own"
            )


def _refuse_shared_slugs(models: Sequence[Model], source: str) -> None:
    """Two names must not share files, also not where the file system ignores case."""
    seen: dict[str, str] = {}
    for model in models:
        other = seen.setdefault(model.slug.lower(), model.name)
        if other != model.name:
            raise UserError(
                f"{source}: models: `{other}` and `{model.name}` would share the file name"
                f" `{model.slug}`; rename one of them"
            )


def _refuse_unknown_parsers(parsers: Sequence[str], source: str) -> None:
    for parser in parsers:
        if parser not in PARSERS:
            known = ", ".join(f"`{name}`" for name in PARSERS)
            raise UserError(f"{source}: parsers: unknown parser `{parser}`; there is {known}")
