"""Reads best.json, the record of a run's best checkpoint. Needs no TensorFlow."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runtime.errors import UserError
from runtime.json_files import read_json_object

REMEDY = "evaluate.py rebuilds it from results.jsonl"


class Best(BaseModel):
    """The best checkpoint, what chose it, and its metrics by evaluation set."""

    model_config = ConfigDict(strict=True, frozen=True)

    step: int
    checkpoint: Annotated[str, Field(pattern=r"^[^/\\]+-[0-9]+$")]
    set: str
    metric: str
    value: float | None = None
    metrics: dict[str, dict[str, float]] = {}


def read_best(run: Path) -> Best | None:
    """The best checkpoint of a run folder; None before the first evaluation.

    Raises:
        UserError: when best.json is damaged.
    """
    file = Path(run) / "best.json"
    if not file.exists():
        return None
    try:
        values = read_json_object(file)
        return Best.model_validate({"checkpoint": f"ckpt-{values.get('step')}"} | values)
    except UserError as error:
        raise UserError(f"{error}; {REMEDY}") from error
    except ValidationError as error:
        first = error.errors()[0]
        what = ".".join(map(str, first["loc"])) or "content"
        raise UserError(f"{file}: invalid {what}: {first['msg']}; {REMEDY}") from None
