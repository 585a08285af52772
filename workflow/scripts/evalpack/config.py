"""The resolved configuration: config.yaml, models.yaml and their overrides, checked and typed."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from evalpack import schema
from evalpack.errors import UserError
from evalpack.models import Model

CONFIG = "config"
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


def load_models(path: Path) -> dict[str, dict[str, Any]]:
    """Read models.yaml; entries are validated when a run names them.

    Raises:
        UserError: if the file is missing or not a mapping of mappings.
    """
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; it describes the models that a run can name") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(entries, dict) or not all(isinstance(e, dict) for e in entries.values()):
        raise UserError(f"{path} must be a mapping from model name to entry")
    return {name: entry for name, entry in entries.items() if not str(name).startswith("x-")}


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
    schema.check(values, CONFIG, source)
    known = load_models(models_yaml)
    models = tuple(
        _resolve(item, known, values["engine"], source, models_yaml) for item in values["models"]
    )
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


def _resolve(
    item: str | Mapping[str, Any],
    known: Mapping[str, Mapping[str, Any]],
    engine: Mapping[str, Any],
    source: str,
    models_yaml: Path,
) -> Model:
    """One model of the lineup: its entry in models.yaml under the run's overrides."""
    overrides: dict[str, Any] = {"name": item} if isinstance(item, str) else dict(item)
    name = overrides["name"]
    base = overrides.pop("base", name)
    entry = copy.deepcopy(dict(known.get(base, {})))
    if not entry and not {"hub", "path", "base_url"} & overrides.keys():
        if engine.get("backend") == "openai" and base == name:
            pass  # a server elsewhere needs no entry: its name is what the server lists
        else:
            raise UserError(
                f"{source}: models: unknown model `{base}`; {models_yaml} has"
                f" {_nearest(base, list(known))}. Add an entry there, or give `hub` or `path`."
            )
    for nested in ("engine", "sampling", "chat_template_kwargs"):
        if nested in entry and nested in overrides:
            overrides[nested] = {**entry[nested], **overrides[nested]}
    if overrides.keys() & {"hub", "path"}:  # another checkpoint: the entry's commit is not its own
        for key in ("hub", "path", "revision"):
            entry.pop(key, None)
    entry.update(overrides)
    common = {
        key: engine[key]
        for key in ("backend", "base_url", "api_key_env", "evaluation_type")
        if key in engine
    }
    entry = {**common, **entry}
    if entry["backend"] == "openai":
        # What the server serves is the server's business, unless this run says otherwise.
        for key in ("hub", "path", "revision", "chat_template", "chat_template_kwargs"):
            if key not in overrides:
                entry.pop(key, None)
    place = f"{source}: models.{name}"
    checked = {key: value for key, value in entry.items() if key != "name"}
    schema.check(checked, "model", place)
    if checked.get("adapter"):
        raise UserError(f"{place}: adapter: LoRA adapters are not supported yet; merge it into its base")
    return Model.from_mapping({**checked, "name": name})


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


def _nearest(name: str, known: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return ", ".join(f"`{c}`" for c in close or sorted(known)[:12])
