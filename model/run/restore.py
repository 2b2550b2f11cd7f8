"""Restores a network from a checkpoint."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import keras
import tensorflow as tf

from model.run.checkpoint_files import UnreadableCheckpointError, files_of, missing_data
from runtime.errors import UserError
from runtime.plain_paths import plain_path

MISFITS = (ValueError, AssertionError, tf.errors.InvalidArgumentError)  # TensorFlow's errors


# The parts of a network in a checkpoint, and the averages of their weights, which a training with ema_decay adds.
AVERAGES = {"backbone": "ema_backbone", "head": "ema_head"}


def restore_model(checkpoint: Path, model: keras.Model, *, name: Path | None = None) -> None:
    """Fills a network with the weights of a checkpoint; with their averages, if it has them.

    Args:
        checkpoint: path without suffix.
        model: an embedder.
        name: the checkpoint's name in messages; None: its path.

    Raises:
        UserError: when the checkpoint is of another architecture.
        UnreadableCheckpointError: when its files are missing or damaged.
    """
    name = name or checkpoint
    parts = {part: model.get_layer(part) for part in AVERAGES}
    restore_parts(trained_parts(checkpoint, name, **parts), checkpoint, name)


def trained_parts(checkpoint: Path, name: Path, **parts: keras.Model) -> tf.train.Checkpoint:
    """A target for `read_parts` that gives `backbone` or `head` their weights; or the averages, if there are any.

    Raises:
        UnreadableCheckpointError: when the checkpoint's files are missing or damaged.
    """
    averaged = holds_averages(checkpoint, name)
    return tf.train.Checkpoint(**{AVERAGES[part] if averaged else part: model for part, model in parts.items()})


def holds_averages(checkpoint: Path, name: Path) -> bool:
    """Whether a checkpoint has averages of the weights.

    Raises:
        UnreadableCheckpointError: when its files are missing or damaged.
    """
    with _opened(checkpoint, name) as path:
        names = tf.train.load_checkpoint(path).get_variable_to_shape_map()
    return any(name.startswith(f"{AVERAGES['backbone']}/") for name in names)


def restore_parts(target: tf.train.Checkpoint, checkpoint: Path, name: Path) -> None:
    """Fills every object in `target`; ignores what else the checkpoint holds.

    Raises:
        UserError: when the checkpoint is of another architecture.
        UnreadableCheckpointError: when its files are missing or damaged.
    """
    try:
        read_parts(target, checkpoint, name)
    except MISFITS as error:
        reason = _first_line(error)
        raise UserError(
            f"{name}: a checkpoint of another architecture ({reason}); use the parameters of network and loss that "
            f"the run was trained with (model_type, head, embedding_size ...; also --set), or another --model_dir"
        ) from error


def read_parts(target: tf.train.Checkpoint, checkpoint: Path, name: Path) -> None:
    """Does the work of `restore_parts`, and raises one of `MISFITS` when the checkpoint is of another architecture."""
    with _opened(checkpoint, name) as path:
        target.restore(path).expect_partial().assert_existing_objects_matched()


@contextlib.contextmanager
def _opened(checkpoint: Path, name: Path) -> Iterator[str]:
    """Gives a path for TensorFlow. Inside, its errors about damaged files become an UnreadableCheckpointError."""
    checkpoint, name = Path(checkpoint), Path(name)  # programs give a str
    _check_files(checkpoint, name)
    with plain_path(checkpoint) as path:
        try:
            yield path
        except MISFITS:
            raise
        except (tf.errors.OpError, RuntimeError, IndexError) as error:
            # TensorFlow has different errors for files that are cut off or changed.
            reason = _first_line(error).replace(path, name.name)
            remedy = "put back a copy of its files, or delete its files to use the checkpoint before it"
            raise UnreadableCheckpointError(f"{name} cannot be read: it is damaged ({reason}); {remedy}") from error


def _check_files(checkpoint: Path, name: Path) -> None:
    """Raises an UnreadableCheckpointError that says which file is missing or cannot be opened."""
    missing = missing_data(checkpoint)
    for file in (Path(f"{checkpoint}.index"), *([missing] if missing else []), *files_of(checkpoint)):
        try:
            with open(file, "rb") as opened:
                opened.read(1)
        except OSError as error:
            reason = f"{name.with_name(file.name)}: {error.strerror or error}"
            remedy = "mend that, or move the files of this checkpoint away to use the one before it"
            raise UnreadableCheckpointError(f"{name} cannot be read ({reason}); {remedy}") from error


def _first_line(error: Exception) -> str:
    if isinstance(error, AssertionError):  # TensorFlow's message is a list of Python objects
        return "variables of this network are missing in it"
    return str(error).strip().splitlines()[0].rstrip(".")
