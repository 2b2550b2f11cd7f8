"""Reads and writes model.json, the description of an exported model. Needs no TensorFlow."""

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from model.configuration.loading import check_params
from model.configuration.params import Params
from model.configuration.removed import from_record
from model.run.results import is_result
from runtime.errors import UserError
from runtime.json_files import read_json, write_json

NAME = "model.json"
_THRESHOLD = "threshold@fpr="  # a metric's name, before the rate


class _Part(BaseModel):
    """A part of the file. Keys that a later version adds are ignored."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False, populate_by_name=True)


class Threshold(_Part):
    """The operating point: images nearer than `value` count as one identity, with these rates on an evaluation set."""

    value: float
    fpr: float
    tpr: float
    set: str


class ModelInput(_Part):
    """The input of the model, (N, H, W, C) uint8, and how files become such images."""

    shape: tuple[None, int, int, int] = Field(strict=False)
    dtype: Literal["uint8"]
    channels: Literal["RGB", "grey"]
    resize: str
    pad_to_square: bool


class RecallCheck(_Part):
    """Recall@1 of the run and of the exported model, over the same images of an evaluation set."""

    set: str
    images: int
    run: float
    exported: float


class Check(_Part):
    """How much the exported model differed from the run when it was written."""

    images: int
    largest_difference: float
    embedding_length: float
    recall: RecallCheck | None = Field(alias="recall@1")


def _only_results(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for number, line in enumerate(lines):
        if not is_result(line):
            raise ValueError(f"entry {number} is not a line of results.jsonl")
    return lines


def _plain_name(name: str) -> str:
    if Path(name).name != name or name == ".." or "\0" in name:
        raise ValueError(f"{name!r} must be the name of a file next to {NAME}")
    return name


class ExportedModel(_Part):
    """The contents of model.json; docs/formats.md has the meaning of each key."""

    format: str
    file: Annotated[str, AfterValidator(_plain_name)]
    sha256: str | None
    quantize: str | None
    name: str
    input: ModelInput
    embedding_size: int
    metric: str
    threshold: Threshold | None
    checkpoint: str
    step: int
    params: dict[str, Any]
    results: Annotated[list[dict[str, Any]], AfterValidator(_only_results)]
    data: dict[str, Any] | None
    versions: dict[str, dict[str, str]]
    licence: dict[str, str | None]
    check: Check

    _folder: Path = PrivateAttr(Path())
    _trained: Params = PrivateAttr()

    @property
    def path(self) -> Path:
        """The model's file; a folder for `savedmodel`."""
        return self._folder / self.file

    @property
    def trained_params(self) -> Params:
        """The parameters of the run, checked."""
        return self._trained


def digest_file(file: Path) -> str | None:
    """The SHA-256 of a model's file in hexadecimal; None for a folder."""
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None


def find_threshold(results: list[dict[str, Any]]) -> Threshold | None:
    """The operating point of the first evaluation set that has one, from lines of results.jsonl."""
    for line in results:
        for name, value in line["metrics"].items():
            if name.startswith(_THRESHOLD):
                rate = name.removeprefix(_THRESHOLD)
                return Threshold(value=value, fpr=float(rate), tpr=line["metrics"][f"tpr@fpr={rate}"], set=line["set"])
    return None


def write_model_json(folder: Path, model: ExportedModel) -> None:
    """Writes model.json into a folder."""
    write_json(Path(folder) / NAME, model.model_dump(mode="json", by_alias=True))


def read_model_json(source: Path) -> ExportedModel:
    """The checked model.json of an exported model.

    Args:
        source: the folder of the model, its model.json, or the model's file in the same folder.

    Raises:
        UserError: when it does not exist, is invalid, or the model's file is missing or another one.
    """
    source = Path(source)
    folder = source if (source / NAME).is_file() else source.parent
    file = folder / NAME
    if not file.is_file():
        raise UserError(f"{source}: no {NAME} in this folder; export the model with export.py, which writes it")
    values = read_json(file)
    try:
        model = ExportedModel.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "content"
        raise UserError(
            f"{file}: invalid {key}: {first['msg'].removeprefix('Value error, ')}; export the run again"
        ) from None
    params = check_params(from_record(model.params, str(file)), str(file))
    for name, stated, wanted in (
        ("embedding_size", model.embedding_size, params.embedding_size),
        ("metric", model.metric, params.metric),
        ("input.shape", model.input.shape, (None, *params.image_shape, params.image_channels)),
    ):
        if stated != wanted:
            raise UserError(f"{file}: {name} is {stated}, but its params say {wanted}; export the run again")
    model._folder, model._trained = folder, params
    if source not in (folder, file, model.path):
        raise UserError(f"{source}: the {NAME} in this folder describes {model.file}, not this file; give that one")
    if not model.path.exists():
        raise UserError(f"{model.path}: no such file, but {file} describes it; export the run again")
    if digest_file(model.path) != model.sha256:
        raise UserError(f"{model.path}: damaged, or not the file that {file} describes; export the run again")
    return model
