"""model.json: what an exported model is, beside its file. Needs no TensorFlow."""

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
    """A part of the file; what a later version adds to it is ignored."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False, populate_by_name=True)


class Threshold(_Part):
    """The operating point: two images nearer than `value` show one identity, at this false-positive rate on a set."""

    value: float
    fpr: float
    tpr: float
    set: str


class ModelInput(_Part):
    """The images that the model takes: (N, H, W, C) uint8, and how files become such images."""

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
    """How far the exported model was from the run when it was written."""

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
    if Path(name).name != name:
        raise ValueError(f"{name!r} must be the name of a file beside {NAME}")
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
    """The SHA-256 of a model's file, in hexadecimal; None of a folder."""
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None


def find_threshold(results: list[dict[str, Any]]) -> Threshold | None:
    """The operating point of the first evaluation set that has one, of lines of results.jsonl."""
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
    """Reads and checks the model.json of an exported model.

    Args:
        source: the folder of the model, its model.json, or the model's file beside it.

    Raises:
        UserError: when there is none, it is something else, or the model's file is missing.
    """
    source = Path(source)
    folder = source if (source / NAME).is_file() else source.parent
    file = folder / NAME
    if not file.is_file():
        raise UserError(f"{source}: there is no {NAME} in it or beside it; export.py writes one with each model")
    values = read_json(file)
    try:
        model = ExportedModel.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "the whole"
        raise UserError(f"{file}: not written by export.py: {key}: {first['msg']}; export the run again") from None
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
        raise UserError(f"{source}: the {NAME} beside it is of {model.file}, not of this file")
    if not model.path.exists():
        raise UserError(f"{model.path}: no such file, but {file} describes it; export the run again")
    if digest_file(model.path) != model.sha256:
        raise UserError(f"{model.path}: damaged, or not the file that {file} describes; export the run again")
    return model
