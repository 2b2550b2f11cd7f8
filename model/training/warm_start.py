"""`warm_start_from`: weights to begin a run with."""

import warnings
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from model.run.checkpoint_files import find_weights
from runtime.errors import UserError


def warm_start(model: keras.Model, source: str) -> str:
    """Loads weights from a file or a checkpoint into an embedder; gives a sentence on what was loaded from where.

    A Keras weights file may hold the backbone alone or the whole embedder. From a checkpoint the backbone and the head
    are loaded, each as a whole, where they fit: a head of another form stays as it is.

    Raises:
        UserError: when nothing fits.
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
        raise UserError(
            f"warm_start_from: {path}: no variables of this network match ({reason}); is it of another model_type or "
            f"backbone_stage?"
        )
    total = len(backbone.weights) + len(head.weights)
    variables = sum(len(part.weights) for part in loaded)
    names = " and ".join(part.name for part in loaded)
    new = "" if len(loaded) == 2 else f"; the {(head if loaded == [backbone] else backbone).name} starts anew"
    return f"warm start: {variables} of {total} variables ({names}) from {path}{new}"


def _load_part(name: str, part: keras.Model, checkpoint: Path) -> Exception | None:
    """Restores one part of the network; gives the reason when it does not fit, and then leaves it as it was."""

    def load() -> None:
        status = tf.train.Checkpoint(**{name: part}).restore(str(checkpoint)).expect_partial()
        status.assert_existing_objects_matched()

    return _load_whole(part, load)


def _load_file(model: keras.Model, path: Path) -> tuple[list[keras.Model], Exception | None]:
    """Loads a Keras weights file into the backbone, or into the whole embedder; gives the parts that it filled."""
    backbone, head = model.get_layer("backbone"), model.get_layer("head")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras warns of every layer that a file does not have; see _load_whole
        problem = _load_whole(backbone, lambda: backbone.load_weights(str(path)))
        if problem is None:
            return [backbone], None
        if _load_whole(model, lambda: model.load_weights(str(path))) is None:
            return [backbone, head], None
    return [], problem


def _load_whole(part: keras.Model, load: Callable[[], None]) -> Exception | None:
    """Runs `load`; unless it fills every variable of `part`, puts the old values back and gives the reason.

    Keras's loader leaves out silently what it does not find in a file; so the variables are NaN while it works.
    """
    before = part.get_weights()
    floats = [variable for variable in part.weights if "float" in variable.dtype]
    try:
        for variable in floats:
            variable.assign(np.full(variable.shape, np.nan))
        load()
        missing = [variable.path for variable in floats if np.isnan(np.asarray(variable.numpy(), np.float32)).any()]
        if missing:
            raise ValueError(f"{len(missing)} of {len(floats)} variables are not in it, such as {missing[0]}")
    except Exception as error:  # Keras, h5py and TensorFlow raise many kinds for a file that does not fit
        part.set_weights(before)
        return error
    return None
