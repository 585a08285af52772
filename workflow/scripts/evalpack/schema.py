"""Validation against the JSON Schemas of workflow/schemas, with errors in one line."""

from pathlib import Path
from typing import Any

from jsonschema.exceptions import ValidationError, best_match
from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

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
        validate(data, str(SCHEMAS / f"{schema}.schema.yaml"))
    except WorkflowError as error:
        cause = next((arg for arg in error.args if isinstance(arg, ValidationError)), None)
        cause = cause or error.__cause__ or error.__context__
        if not isinstance(cause, ValidationError):
            raise
        raise UserError(_sentence(cause, source)) from None


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
