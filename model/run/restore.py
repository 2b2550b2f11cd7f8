"""Restores the network of a checkpoint."""

from pathlib import Path

import keras
import tensorflow as tf

from model.run.checkpoint_files import UnreadableCheckpointError
from runtime.errors import UserError


def restore_model(checkpoint: Path, model: keras.Model, *, name: Path | None = None) -> None:
    """Restores the network alone.

    Args:
        checkpoint: path without suffix.
        model: an embedder.
        name: what to call the checkpoint in messages; None is its path.

    Raises:
        UserError: when the checkpoint is of another architecture.
        UnreadableCheckpointError: when its files are gone or damaged.
    """
    parts = tf.train.Checkpoint(backbone=model.get_layer("backbone"), head=model.get_layer("head"))
    restore_parts(parts, checkpoint, name or checkpoint)


def restore_parts(target: tf.train.Checkpoint, checkpoint: Path, name: Path) -> None:
    """Fills everything in `target`; what else the checkpoint holds is left alone."""
    try:
        target.restore(str(checkpoint)).expect_partial().assert_existing_objects_matched()
    except (ValueError, AssertionError, tf.errors.InvalidArgumentError) as error:
        reason = _first_line(error)
        raise UserError(
            f"{name}: a checkpoint of another architecture ({reason}); compare model_type, head, embedding_size "
            f"and the other parameters of network and loss with those of the run that wrote it (were there --set "
            f"at its start?), or use another --model_dir"
        ) from error
    except (tf.errors.OpError, RuntimeError, IndexError) as error:
        # TensorFlow's reader has a different error for every way in which files can vanish or end early.
        remedy = "delete its files to go on from the checkpoint before it"
        raise UnreadableCheckpointError(f"{name} cannot be read ({_first_line(error)}); {remedy}") from error


def _first_line(error: Exception) -> str:
    if isinstance(error, AssertionError):  # TensorFlow's own words are a list of Python objects
        return "it lacks variables that are wanted here"
    return str(error).strip().splitlines()[0].rstrip(".")
