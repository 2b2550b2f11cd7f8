"""The request of export.py, checked before TensorFlow is loaded."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from model.configuration.params import Params
from model.exporting.sample import Sample, read_sample
from model.run.checkpoint_files import find_checkpoint
from model.run.model_json import NAME
from model.run.run_folder import RunFolder
from runtime import plugins
from runtime.errors import UserError
from runtime.json_files import read_json

FORMATS = "model.exporting.formats"
CARD = "model_card.md"
LIMIT = 1e-3  # for the difference from the run, divided by the mean embedding length if that is above 1
_FILE_BROWSERS_FILES = {".DS_Store", ".directory", "Thumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class Request:
    """What to export, and how.

    Attributes:
        run: the run.
        params: its parameters.
        checkpoint: path without suffix.
        format, module: the name of the format, and its module.
        quantize: "float16", "int8" or None.
        out: the folder to write.
        sample: images for the comparison.
        images_given: whether they come from --images.
    """

    run: RunFolder
    params: Params
    checkpoint: Path
    format: str
    module: ModuleType
    quantize: str | None
    out: Path
    sample: Sample
    images_given: bool


def check_request(
    run: RunFolder,
    overrides: list[str],
    checkpoint: str | None,
    format: str,
    quantize: str | None,
    out: Path,
    images: str | None,
) -> Request:
    """The request, after all checks that need no TensorFlow.

    Args:
        run: the run.
        overrides: `key=value` of --set.
        checkpoint: its name; None is the best, or the latest if nothing has been evaluated.
        format, quantize, out: see `Request`.
        images: a list of images for the comparison; None for those of the run's data set.

    Raises:
        UserError: for a missing run, checkpoint, image or package, a format that cannot be quantized, or an `out` that
            holds other files.
    """
    module = load_format(format)
    if quantize and quantize not in module.QUANTIZE:
        able = [name for name in plugins.choices(FORMATS) if quantize in load_format(name).QUANTIZE]
        raise UserError(f"--quantize {quantize} is not available for --format {format}, only for {' and '.join(able)}")
    if missing := [name for name in module.PACKAGES if importlib.util.find_spec(name) is None]:
        names = ", ".join(name.replace("_", "-") for name in missing)
        raise UserError(f"--format {format} needs {names}: pip install -r requirements_export.txt")
    check_out(out)
    params = run.load_trained_params(overrides)
    found = find_checkpoint(run.folder, checkpoint)
    return Request(run, params, found, format, module, quantize, out, read_sample(params, images), images is not None)


def load_format(name: str) -> ModuleType:
    """The module of a format."""
    return plugins.load(FORMATS, name)


def check_out(out: Path) -> None:
    """Raises a UserError if the folder holds anything but an earlier export, or contains the current folder."""
    if Path.cwd().is_relative_to(out.resolve()):
        raise UserError(f"--out {out}: the current folder cannot be replaced; name another, such as a new folder in it")
    if not out.exists():
        return
    if not out.is_dir():
        raise UserError(f"--out {out}: it is a file; name a folder")
    names = {entry.name for entry in out.iterdir()} - _FILE_BROWSERS_FILES
    written = {NAME, CARD, *(load_format(name).FILE for name in plugins.choices(FORMATS))}
    if names and (others := sorted(names - written)):
        raise UserError(f"--out {out}: it contains {others[0]}; name a new folder, or the folder of an earlier export")
    if names and not (NAME in names and _is_ours(read_json(out / NAME))):
        raise UserError(f"--out {out}: its {NAME} was not written by export.py; name a new folder")


def _is_ours(values: object) -> bool:
    return isinstance(values, dict) and {"format", "file", "checkpoint", "params", "check"} <= values.keys()
