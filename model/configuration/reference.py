"""All parameters in words, and what each allows.

`python -m model.configuration.reference` prints them as a Markdown table, `--schema` as a JSON Schema.
"""

import argparse
import json
from typing import Any

from pydantic import BaseModel

from model.configuration.params import Params


def schema_text(schema: dict[str, Any]) -> str:
    """The type and range that a property's JSON schema allows."""
    if "anyOf" in schema:
        return " or ".join(schema_text(option) for option in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return " or ".join(json.dumps(value) for value in schema.get("enum", [schema.get("const")]))
    if schema["type"] == "array":
        count = f" of {schema['minItems']}" if schema.get("minItems") == schema.get("maxItems") is not None else ""
        items = schema_text(schema["items"])
        return f"list{count} of ({items})" if " or " in items else f"list{count} of {items}"
    text = {"integer": "integer", "number": "number", "boolean": "true or false", "string": "string"}.get(
        schema["type"], schema["type"]
    )
    signs = (("minimum", ">="), ("exclusiveMinimum", ">"), ("maximum", "<="), ("exclusiveMaximum", "<"))
    limits = [f"{sign} {schema[name]:g}" for name, sign in signs if name in schema]
    return f"{text} {', '.join(limits)}" if limits else text


def markdown_table(params: type[BaseModel]) -> str:
    """All fields of a model of parameters as a Markdown table."""
    properties = params.model_json_schema()["properties"]
    lines = ["| parameter | type | default | meaning |", "|---|---|---|---|"]
    for key, field in params.model_fields.items():
        kind = schema_text(properties[key])
        lines.append(f"| `{key}` | {kind} | `{json.dumps(field.default)}` | {field.description} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m model.configuration.reference", description="Prints all parameters of a run."
    )
    parser.add_argument("--schema", action="store_true", help="a JSON Schema instead of a Markdown table")
    if parser.parse_args().schema:
        print(json.dumps(Params.model_json_schema(), indent=2))
    else:
        print("# Parameters\n\nThis page is the output of `python -m model.configuration.reference`.\n")
        print(markdown_table(Params))


if __name__ == "__main__":
    main()
