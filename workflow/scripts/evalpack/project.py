"""The project in the working directory, configured as Snakemake would configure it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evalpack import config
from evalpack.errors import UserError
from evalpack.lineup import load_models
from evalpack.models import Model

CONFIG_YAML = Path("config/config.yaml")
MODELS_YAML = Path("config/models.yaml")


def load(configfiles: Sequence[Path]) -> config.Config:
    """The configuration: config/config.yaml, with further files merged over it.

    Raises:
        UserError: one line naming the file, the key and the mend.
    """
    from snakemake.utils import update_config

    files = [CONFIG_YAML, *(path for path in configfiles if path != CONFIG_YAML)]
    raw: dict[str, Any] = {}
    for path in files:
        update_config(raw, _read(path))
    return config.load(raw, MODELS_YAML, " + ".join(map(str, files)))


def known_models() -> list[Model]:
    """The entries of config/models.yaml, as they are: what other runs may have measured."""
    entries = load_models(MODELS_YAML)
    return [Model.from_mapping({**entry, "name": name}) for name, entry in entries.items()]


def _read(path: Path) -> dict[str, Any]:
    from snakemake.common.configfile import load_configfile
    from snakemake.exceptions import WorkflowError

    if not path.is_file():
        where = "; run evalpack in the folder that holds config/" if path == CONFIG_YAML else ""
        raise UserError(f"there is no {path}{where}")
    try:
        return dict(load_configfile(path))
    except WorkflowError as error:
        raise UserError(f"{path}: {' '.join(str(error).split())}") from None
