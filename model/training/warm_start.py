"""Loads initial weights (`warm_start_from`)."""

import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from model.run.checkpoint_files import UnreadableCheckpointError, find_weights
from model.run.restore import read_parts, trained_parts
from runtime.errors import UserError


def warm_start(model: keras.Model, source: str) -> str:
    """Loads weights from a file or a checkpoint into an embedder; returns a log line about it.

    A Keras weights file holds the backbone alone or the whole embedder. A checkpoint has a backbone and a head: each is
    loaded if all of it fits, otherwise it keeps its initial weights.

    Raises:
        UserError: when neither fits, or a file is missing or damaged.
    """
    kind, path = find_weights(source)
    backbone, head = model.get_layer("backbone"), model.get_layer("head")
    if kind == "weights":
        loaded, problem = _load_file(model, path)
    else:
        problems = [_load_part("backbone", backbone, path), _load_part("head", head, path)]
        loaded = [part for part, failure in zip((backbone, head), problems, strict=True) if failure is None]
        problem = problems[0]
    if not loaded:
        reason = str(problem).strip().splitlines()[0].partition(". Example")[0].rstrip(".")
        if isinstance(problem, OSError | zipfile.BadZipFile):
            raise UserError(f"warm_start_from: {path}: not a whole weights file ({reason}); put back a copy of it")
        raise UserError(
            f"warm_start_from: {path}: the weights do not fit this network ({reason}); check model_type and "
            f"backbone_stage"
        )
    total = len(backbone.weights) + len(head.weights)
    variables = sum(len(part.weights) for part in loaded)
    names = " and ".join(part.name for part in loaded)
    new = "" if len(loaded) == 2 else f"; the {(head if loaded == [backbone] else backbone).name} starts from scratch"
    return f"warm start: {variables} of {total} variables ({names}) from {path}{new}"


def _load_part(name: str, part: keras.Model, checkpoint: Path) -> Exception | None:
    """Restores one part of the network. Returns the reason, and changes nothing, when it does not fit."""

    target = trained_parts(checkpoint, checkpoint, **{name: part})
    return _load_whole(part, lambda: read_parts(target, checkpoint, checkpoint))


def _load_file(model: keras.Model, path: Path) -> tuple[list[keras.Model], Exception | None]:
    """Loads a Keras weights file into the backbone or the whole embedder; returns the filled parts, or the reason."""
    backbone, head = model.get_layer("backbone"), model.get_layer("head")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras warns about each missing layer; _load_whole checks that
        problem = _load_whole(backbone, lambda: backbone.load_weights(str(path)))
        if problem is None:
            return [backbone], None
        if _load_whole(model, lambda: model.load_weights(str(path))) is None:
            return [backbone, head], None
    return [], problem


def _load_whole(part: keras.Model, load: Callable[[], None]) -> Exception | None:
    """Runs `load`. Unless it fills every variable of `part`, restores the old values and returns the reason.

    Keras silently skips variables that a file does not have; so all are set to NaN first.
    """
    before = part.get_weights()
    floats = [variable for variable in part.weights if "float" in variable.dtype]
    try:
        for variable in floats:
            variable.assign(np.full(variable.shape, np.nan))
        load()
        missing = [variable.path for variable in floats if np.isnan(np.asarray(variable.numpy(), np.float32)).any()]
        if missing:
            raise ValueError(f"{len(missing)} of {len(floats)} variables are missing in it, such as {missing[0]}")
    except UnreadableCheckpointError:
        raise
    except Exception as error:  # Keras, h5py and TensorFlow raise many kinds of errors for a file that does not fit
        part.set_weights(before)
        return error
    return None
