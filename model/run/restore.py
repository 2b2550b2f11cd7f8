"""Restores a network from a checkpoint."""

from pathlib import Path

import keras
import tensorflow as tf

from model.run.checkpoint_files import UnreadableCheckpointError
from runtime.errors import UserError


def restore_model(checkpoint: Path, model: keras.Model, *, name: Path | None = None) -> None:
    """Fills a network with the weights of a checkpoint.

    Args:
        checkpoint: path without suffix.
        model: an embedder.
        name: the checkpoint's name in messages; None: its path.

    Raises:
        UserError: when the checkpoint is of another architecture.
        UnreadableCheckpointError: when its files are missing or damaged.
    """
    parts = tf.train.Checkpoint(backbone=model.get_layer("backbone"), head=model.get_layer("head"))
    restore_parts(parts, checkpoint, name or checkpoint)


def restore_parts(target: tf.train.Checkpoint, checkpoint: Path, name: Path) -> None:
    """Fills every object in `target`; ignores what else the checkpoint holds."""
    try:
        target.restore(str(checkpoint)).expect_partial().assert_existing_objects_matched()
    except (ValueError, AssertionError, tf.errors.InvalidArgumentError) as error:
        reason = _first_line(error)
        raise UserError(
            f"{name}: a checkpoint of another architecture ({reason}); use the parameters of network and loss that "
            f"the run was trained with (model_type, head, embedding_size ...; also --set), or another --model_dir"
        ) from error
    except (tf.errors.OpError, RuntimeError, IndexError) as error:
        # TensorFlow has different errors for files that are missing or cut off.
        remedy = "delete its files to resume from the checkpoint before it"
        raise UnreadableCheckpointError(f"{name} cannot be read ({_first_line(error)}); {remedy}") from error


def _first_line(error: Exception) -> str:
    if isinstance(error, AssertionError):  # TensorFlow's message is a list of Python objects
        return "variables of this network are missing in it"
    return str(error).strip().splitlines()[0].rstrip(".")
