"""Validation against the JSON Schemas of workflow/schemas, with errors in one line."""

import copy
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError, best_match

from evalpack.errors import UserError

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"


def check(data: Any, schema: str, source: str) -> None:
    """Validate `data` in place, filling in defaults.

    Args:
        data: what was read, a mapping.
        schema: name of a schema, for example `config`.
        source: the file (and place in it) that the error names.

    Raises:
        UserError: one line naming source, key and the mend.
    """
    try:
        _validator(schema).validate(data)
    except ValidationError as error:
        raise UserError(_sentence(error, source)) from None


@cache
def _validator(schema: str) -> Any:
    """The validator of a schema, read once: a lineup of hundreds of models asks for it as often.

    It fills in defaults as the FAQ of jsonschema shows, and as `snakemake.utils.validate` does,
    which reads the schema anew each time.
    """
    content = yaml.safe_load((SCHEMAS / f"{schema}.schema.yaml").read_text(encoding="utf-8"))
    check_properties = Draft202012Validator.VALIDATORS["properties"]

    def properties(
        validator: Any, properties: dict[str, Any], instance: Any, schema: Any
    ) -> Iterator[ValidationError]:
        if isinstance(instance, dict):
            for name, below in properties.items():
                if "default" in below:
                    instance.setdefault(name, copy.deepcopy(below["default"]))
        yield from check_properties(validator, properties, instance, schema)

    extend: Any = validators.extend  # untyped
    return extend(Draft202012Validator, {"properties": properties})(content)


def _sentence(error: ValidationError, source: str) -> str:
    deepest = best_match([error]) or error
    schema = deepest.schema if isinstance(deepest.schema, dict) else {}
    known = sorted(schema.get("properties", {}))
    key = ".".join(str(part) for part in deepest.absolute_path)
    where = f"{source}: {key}" if key else source
    hint = schema.get("description", "")
    if deepest.validator == "additionalProperties":
        unknown = [f"`{key}`" for key in dict(deepest.instance) if key not in known]  # type: ignore[arg-type]
        plural = "s" if len(unknown) > 1 else ""
        message = f"unknown key{plural} {', '.join(unknown)}; known keys are {', '.join(known)}"
    elif deepest.validator in ("oneOf", "anyOf"):
        message = f"{deepest.instance!r} is none of what it may be ({hint.rstrip('.')})"
    elif deepest.validator == "required":
        message = deepest.message.replace("'", "`")
    else:
        message = f"{deepest.message} ({hint.rstrip('.')})" if hint else deepest.message
    return f"{where}: {message}"
