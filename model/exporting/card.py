"""The model card: describes an exported model for people who do not have its run."""

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from model.configuration.params import Params
from model.exporting.request import LIMIT
from model.run.model_json import ExportedModel
from runtime import plugins
from runtime.printable import printable, printable_lines

# Parameters that are always in the card. Others are in it if they do not have their default.
_ALWAYS = (
    *("dataset", "model_type", "head", "embedding_size", "image_size", "triplet_strategy", "margin", "metric"),
    *("sampling", "batch_p", "batch_k", "train_iterations", "learning_rate", "warm_start_from"),
)
_SKIPPED = (
    "eval_",
    "check_images",
    "corrupt_images",
    "num_parallel",
    "prefetch",
    "save_",
    "keep_",
    "csv_",
    "detailed_",
)


def render_card(model: ExportedModel, usage: str, precision: str | None = None) -> str:
    """The card as Markdown.

    Args:
        model: the content of model.json.
        usage: Python code from `images` to `embeddings`.
        precision: a sentence about the run's own precision; None if it is float32.
    """
    distance = plugins.load("model.distances", model.metric).__doc__ or ""
    return _TEMPLATES.get_template("model_card.md.jinja").render(
        model=model,
        usage=usage,
        precision=precision,
        limit=LIMIT,
        parameters=_parameters(model.trained_params),
        distance=distance.splitlines()[0].rstrip("."),
    )


def define(definitions: dict[str, str], metric: str) -> str:
    """The definition of a metric; recall@1 has the definition of recall."""
    return definitions.get(metric) or definitions.get(metric.partition("@")[0], "")


def _parameters(params: Params) -> list[tuple[str, Any, str]]:
    """(name, value, meaning) of the parameters that describe the training."""
    rows = []
    for name, field in Params.model_fields.items():
        value = getattr(params, name)
        if name in _ALWAYS or (value != field.default and not name.startswith(_SKIPPED)):
            rows.append((name, value, field.description or ""))
    return rows


def _number(value: float) -> str:
    """A measured number with four digits; an integer in full."""
    return str(value) if isinstance(value, int) else f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _cell(value: Any) -> str:
    """Text for a cell of a table."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text.encode("utf-8", "replace").decode()
    return printable(" ".join(text.split())).replace("|", "\\|")


_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent, encoding="utf-8"),
    autoescape=False,
    finalize=lambda value: printable_lines(value) if isinstance(value, str) else value,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_TEMPLATES.filters |= {"cell": _cell, "number": _number}
_TEMPLATES.globals |= {"define": define}
