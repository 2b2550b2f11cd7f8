"""All parameters with their types, defaults and meanings.

`python -m model.configuration.reference` prints them as docs/parameters.md, `--schema` as a JSON Schema.
"""

import argparse
import json
import textwrap
from typing import Any

from pydantic import BaseModel

from model.configuration.fields.batches import BatchParams
from model.configuration.fields.data import DataParams
from model.configuration.fields.evaluation import EvaluationParams
from model.configuration.fields.loss import LossParams
from model.configuration.fields.network import NetworkParams
from model.configuration.fields.training import TrainingParams
from model.configuration.params import Params

_SECTIONS: dict[str, type[BaseModel]] = {
    "Images and augmentation": DataParams,
    "Batches": BatchParams,
    "Network": NetworkParams,
    "Loss": LossParams,
    "Training, logs and checkpoints": TrainingParams,
    "Evaluation": EvaluationParams,
}
_HEAD = """\
# Parameters

All keys of `params.json`. A missing key has its default; `--set KEY=VALUE` overrides it for one run.
This page is the output of `python -m model.configuration.reference`.
"""
_LONG_LIST = 5  # names: from this many on, they stand below the table
_NOTES = {
    "color_jitter_ranges": "the hue turns by at most 0.5, half the colour circle.",
    "sampling": "`triplets` draws or mines new triples of anchor, positive and negative for each epoch.",
    "descriptors": "`classification_weight` classifies the first one.",
    "embedding_size": "the pooled features of `bnneck` have 2048 values for ResNets, 1280 for `mobilenet_v2`, 1024 for "
    "`mobilenet_v1_1_224`.",
    "plateau_evaluations": "it needs evaluate.py alongside the training, as does `early_stopping_evaluations`.",
    "best_metric": "`auto` is `val_eval/general_accuracy`; without that set, `general_accuracy` or `map` of the first "
    "set. `plateau_evaluations` and `early_stopping_evaluations` watch the same metric.",
}


def schema_text(schema: dict[str, Any]) -> str:
    """The type and range of a property of a JSON schema, in words."""
    if "anyOf" in schema:
        return " or ".join(schema_text(option) for option in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return " or ".join(json.dumps(value) for value in schema.get("enum", [schema.get("const")]))
    if schema["type"] == "array":
        count = f" {schema['minItems']}" if schema.get("minItems") == schema.get("maxItems") is not None else ""
        items = schema_text(schema["items"])
        return f"list of{count} ({items})" if " or " in items else f"list of{count} {_plural(items)}"
    text = {"integer": "integer", "number": "number", "boolean": "true or false", "string": "string"}.get(
        schema["type"], schema["type"]
    )
    signs = (("minimum", ">="), ("exclusiveMinimum", ">"), ("maximum", "<="), ("exclusiveMaximum", "<"))
    limits = [f"{sign} {schema[name]:.10g}" for name, sign in signs if name in schema]
    return f"{text} {', '.join(limits)}" if limits else text


def _plural(kind: str) -> str:
    word, space, limits = kind.partition(" ")
    return f"{word}s{space}{limits}"


def markdown_sections() -> str:
    """All parameters as Markdown: a section with a table for each subject, long lists of names below the table."""
    lines = []
    for title, fields in _SECTIONS.items():
        lines += [f"## {title}", "", "| parameter | type | default | meaning |", "|---|---|---|---|"]
        properties = fields.model_json_schema()["properties"]
        below: dict[str, list[str]] = {}
        for key, field in fields.model_fields.items():
            kind, names = _short_type(properties[key])
            if names:
                below.setdefault(", ".join(f"`{name}`" for name in names), []).append(f"`{key}`")
            lines.append(f"| `{key}` | {kind} | `{json.dumps(field.default)}` | {field.description} |")
        notes = [f"- Names for {' and '.join(keys)}: {names}." for names, keys in below.items()]
        notes += [f"- `{key}`: {note}" for key, note in _NOTES.items() if key in fields.model_fields]
        lines += ["", *(line for note in notes for line in _wrapped(note)), *([""] if notes else [])]
    return "\n".join(lines).rstrip("\n")


def _short_type(schema: dict[str, Any]) -> tuple[str, list[str]]:
    """A type in words, `name` for a long list of names, and these names."""
    for part in (schema, schema.get("items", {}), *schema.get("anyOf", [])):
        if len(part.get("enum", [])) >= _LONG_LIST:
            text = schema_text(schema).replace(schema_text(part), "name")
            return text.replace("list of (name)", "list of names"), part["enum"]
    return schema_text(schema), []


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 120, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m model.configuration.reference", description="Prints all parameters of a run as Markdown."
    )
    parser.add_argument("--schema", action="store_true", help="print a JSON Schema instead")
    if parser.parse_args().schema:
        print(json.dumps(Params.model_json_schema(), indent=2))
    else:
        print(_HEAD)
        print(markdown_sections())


if __name__ == "__main__":
    main()
