"""Every parameter of a run: read from its params.json, checked, and mistakes told in one line.

`params.json` is a flat object of the fields of `Params`. `python -m model.params` prints them as a Markdown table,
`--schema` as a JSON Schema. Nothing here imports TensorFlow, so that a mistake is answered at once.
"""

import argparse
import difflib
import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from model.params_fields import Params
from model.params_text import markdown_table, schema_text
from runtime.errors import UserError
from runtime.json_files import read_json

__all__ = ["Params", "check_params", "load_params", "parse_overrides"]


def load_params(path: Path, overrides: list[str] = ()) -> Params:
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


def parse_overrides(overrides: list[str]) -> dict[str, Any]:
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
    if type(values.get("freeze_batch_norm")) is bool:  # what files of earlier versions call it
        frozen = values["freeze_batch_norm"]
        values = {"batch_norm": "frozen" if frozen else "train"} | values
        del values["freeze_batch_norm"]
    unknown = [key for key in values if key not in Params.model_fields]
    if unknown:
        key = unknown[0]
        near = difflib.get_close_matches(key, Params.model_fields, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? ({Params.model_fields[near[0]].description})" if near else ""
        raise UserError(f"{source}: unknown parameter {key!r}; {hint or 'python -m model.params lists all of them'}")
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
    field = Params.model_fields[key]
    if first["type"] == "value_error":
        return f"{key}: {first['ctx']['error']}"
    return f"{key} is {json.dumps(values.get(key))}; it must be {_type_text(key)} ({field.description})"


def _type_text(key: str) -> str:
    """The type and range of a parameter in words, from its JSON schema."""
    return schema_text(Params.model_json_schema()["properties"][key])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m model.params", description="Prints all parameters of a run.")
    parser.add_argument("--schema", action="store_true", help="a JSON Schema instead of a Markdown table")
    if parser.parse_args().schema:
        print(json.dumps(Params.model_json_schema(), indent=2))
    else:
        print("# Parameters\n\nThis page is the output of `python -m model.params`.\n")
        print(markdown_table(Params))


if __name__ == "__main__":
    main()
