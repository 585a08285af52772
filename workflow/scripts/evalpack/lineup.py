"""The models of a run: entries of models.yaml under the run's overrides, checked."""

import copy
import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from evalpack import schema
from evalpack.errors import UserError
from evalpack.models import Model

# Keys of the run's `engine` that are the model's own keys, not arguments of the backend.
CONNECTION = ("backend", "base_url", "api_key_env", "evaluation_type")
_NESTED = ("engine", "sampling", "chat_template_kwargs")


class Lineup:
    """Resolves the items of the config's `models`."""

    def __init__(self, models_yaml: Path, engine: Mapping[str, Any], source: str) -> None:
        """Read models.yaml; its entries are checked when a run names them.

        Args:
            models_yaml: path of config/models.yaml.
            engine: the run's `engine` section.
            source: what errors call the configuration.

        Raises:
            UserError: if the file is missing or not a mapping of mappings.
        """
        self._path, self._engine, self._source = models_yaml, engine, source
        self._known = load_models(models_yaml)

    def resolve(self, item: str | Mapping[str, Any]) -> Model:
        """One model: its entry, under the run's overrides, over the run's engine.

        Raises:
            UserError: one line naming the model, the key and the mend.
        """
        overrides: dict[str, Any] = {"name": item} if isinstance(item, str) else dict(item)
        name = overrides.pop("name")
        entry = self._entry(name, overrides)
        theirs = entry.get("backend", "vllm")
        for key in _NESTED:
            if key in entry and key in overrides:
                overrides[key] = {**entry[key], **overrides[key]}
        if overrides.keys() & {"hub", "path"}:  # the entry's commit is another checkpoint's
            for key in ("hub", "path", "revision"):
                entry.pop(key, None)
        entry = {**self._connection(), **entry, **overrides}
        if entry["backend"] == self._engine["backend"]:  # another backend would not know them
            arguments = {k: v for k, v in self._engine.items() if k not in CONNECTION}
            entry["engine"] = {**arguments, **entry.get("engine", {})}
        if entry["backend"] == "openai" and theirs != "openai":
            # The entry describes a checkpoint; what the server serves is the server's business.
            for key in ("hub", "path", "revision", "chat_template", "chat_template_kwargs"):
                if key not in overrides:
                    entry.pop(key, None)
        place = f"{self._source}: models.{name}"
        schema.check(entry, "model", place)
        if entry.get("adapter"):
            raise UserError(
                f"{place}: adapter: LoRA adapters are not supported yet; merge it first"
            )
        return Model.from_mapping({**entry, "name": name})

    def _entry(self, name: str, overrides: dict[str, Any]) -> dict[str, Any]:
        base = overrides.pop("base", None)
        if (entry := self._known.get(base or name)) is not None:
            return copy.deepcopy(dict(entry))
        described = overrides.keys() & {"hub", "path", "base_url"}
        backend = overrides.get("backend", self._engine["backend"])
        # A server elsewhere needs no entry: the name is what the server lists.
        if base is None and (described or backend == "openai"):
            return {}
        raise UserError(
            f"{self._source}: models: unknown model `{base or name}`; {self._path} has"
            f" {self._nearest(base or name)}. Add an entry there, or give `hub` or `path`."
        )

    def _connection(self) -> dict[str, Any]:
        return {key: self._engine[key] for key in CONNECTION if key in self._engine}

    def _nearest(self, name: str) -> str:
        close = difflib.get_close_matches(name, self._known, n=3, cutoff=0.5)
        return ", ".join(f"`{known}`" for known in close or sorted(self._known)[:12])


def load_models(path: Path) -> dict[str, dict[str, Any]]:
    """Read models.yaml as it is.

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
