"""The parameters of a run: read from its params.json, a flat object, and checked; mistakes are told in one line."""

import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from model.configuration.params import Params
from model.configuration.reference import schema_text
from model.configuration.removed import refuse_removed
from runtime.errors import UserError
from runtime.json_files import read_json


def load_params(path: Path, overrides: Sequence[str] = ()) -> Params:
    """Reads a params.json, lays `key=value` overrides over it, and checks the whole.

    Raises:
        UserError: one line that names the file, the key, what is wrong and what is right.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file; a run is a folder with a params.json (copy one from experiments/)")
    values = read_json(path)
    if not isinstance(values, dict):
        raise UserError(f"{path}: it must hold one JSON object of parameters, not a {type(values).__name__}")
    return check_params(values | parse_overrides(overrides), source=f"{path} with --set" if overrides else str(path))


def parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """`["margin=0.5", "head=direct"]` to a dictionary; values are JSON, and plain text stands for a string."""
    values = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise UserError(f"--set {override!r}: it must be key=value, such as --set learning_rate=1e-4")
        try:
            values[key] = json.loads(text)
        except json.JSONDecodeError:
            values[key] = text
    return values


def check_params(values: dict[str, Any], source: str) -> Params:
    """Checks a dictionary of parameters; `source` names where they come from in messages."""
    refuse_removed(values, source)
    for key in values:
        if key in Params.model_fields:
            continue
        near = difflib.get_close_matches(key, Params.model_fields, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? ({Params.model_fields[near[0]].description})" if near else ""
        hint = hint or "python -m model.configuration.reference lists all of them"
        raise UserError(f"{source}: unknown parameter {key!r}; {hint}")
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{source}: {_explain(error, values)}") from None


def _explain(error: ValidationError, values: dict[str, Any]) -> str:
    """One line for the first wrong parameter: its value, what it must be, and what it means."""
    first = error.errors()[0]
    if not first["loc"]:
        return str(first["ctx"]["error"])
    key = str(first["loc"][0])
    # Of a value that may be of several types, each says what is wrong; a rule of ours says it best.
    for each in error.errors():
        if each["loc"][0] == key and each["type"] == "value_error":
            return f"{key}: {each['ctx']['error']}"
    kind = schema_text(Params.model_json_schema()["properties"][key])
    return f"{key} is {json.dumps(values.get(key))}; it must be {kind} ({Params.model_fields[key].description})"
