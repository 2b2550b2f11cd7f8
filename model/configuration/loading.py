"""Reads and checks params.json. An invalid file gives an error of one line."""

import difflib
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from types import NoneType
from typing import Any

from pydantic import ValidationError

from model.configuration.params import Params
from model.configuration.reference import schema_text
from model.configuration.removed import refuse_removed
from runtime.errors import UserError
from runtime.json_files import read_json_object

_JSON_TYPES = {bool: "boolean", int: "integer", float: "number", NoneType: "null", list: "array", dict: "object"}


def load_params(path: Path, overrides: Sequence[str] = ()) -> Params:
    """The parameters of a params.json with `key=value` overrides, checked.

    Raises:
        UserError: one line with the file, the key, its value and what it must be.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such file; a run is a folder with a params.json (copy one from experiments/)")
    values = read_json_object(path)
    return check_params(values | parse_overrides(overrides), source=f"{path} with --set" if overrides else str(path))


def parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """A dictionary of `["margin=0.5", "head=direct"]`; values are JSON, and plain text stands for a string."""
    values = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise UserError(f"--set {override!r}: it must be key=value, such as --set learning_rate=1e-4")
        values[key] = parse_value(key, text)
    return values


def parse_value(key: str, text: str) -> Any:
    """The value of a parameter given as text: JSON, else a string. So is JSON of a type that only a string could be.

    A data set named 2024, or a folder named true, needs no quotes.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # no JSON, a number of thousands of digits, or deeply nested
        return text
    types = _json_types(key)
    fits = isinstance(value, str) or _JSON_TYPES[type(value)] in types or (type(value) is int and "number" in types)
    return text if "string" in types and not fits else value


@functools.cache
def _json_types(key: str) -> set[str]:
    """The JSON types that a parameter takes; none for an unknown one."""
    schema = Params.model_json_schema()["properties"].get(key, {})
    return {part.get("type", "string") for part in schema.get("anyOf", [schema])} if schema else set()


def check_params(values: dict[str, Any], source: str) -> Params:
    """The parameters of a dictionary, checked; error messages begin with `source`."""
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
    """One line about the first invalid parameter: its value, what it must be, what it means."""
    first = error.errors()[0]
    if not first["loc"]:
        return str(first["ctx"]["error"])
    key = str(first["loc"][0])
    # A value of several possible types has an error for each of them; that of our own rule is the clearest.
    for each in error.errors():
        if each["loc"][0] == key and each["type"] == "value_error":
            return f"{key}: {each['ctx']['error']}"
    kind = schema_text(Params.model_json_schema()["properties"][key])
    article = {"integer": "an ", "number": "a ", "list": "a ", "string": "a "}.get(kind.split()[0], "")
    meaning = Params.model_fields[key].description
    return f"{key} is {json.dumps(values.get(key))}; it must be {article}{kind} ({meaning})"
