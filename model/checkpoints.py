"""Saving and restoring checkpoints.

A checkpoint is `checkpoints/ckpt-<step>.index` and `.data-*`. It holds the backbone, the head, the optimizer, the step,
and the state of Keras's seed generators, which Keras leaves out of TensorFlow checkpoints by itself.
"""

from pathlib import Path

import keras
import tensorflow as tf

from dataset.errors import UserError
from model.checkpoint_files import step_of


def _seed_states(model: keras.Model) -> list[tf.Variable]:
    return [variable.value for variable in model.variables if "seed_generator" in variable.path]


class TrainingCheckpoints:
    """Saves everything that training goes on from, and restores it to the bit."""

    def __init__(
        self, folder: Path, model: keras.Model, optimizer: keras.optimizers.Optimizer, keep: int | None
    ) -> None:
        """Args:
        folder: the run's `checkpoints/`.
        model: an embedder.
        optimizer: its optimizer, already built.
        keep: number of newest checkpoints that stay; None keeps all.
        """
        self._step = tf.Variable(0, dtype=tf.int64)
        self._checkpoint = tf.train.Checkpoint(
            backbone=model.get_layer("backbone"),
            head=model.get_layer("head"),
            seeds=_seed_states(model),
            optimizer=optimizer,
            step=self._step,
        )
        self._manager = tf.train.CheckpointManager(self._checkpoint, str(folder), max_to_keep=keep)

    @property
    def latest(self) -> str | None:
        """Path of the newest checkpoint, without suffix."""
        return self._manager.latest_checkpoint

    def save(self, step: int) -> None:
        """Writes `ckpt-<step>`, unless that was done just now, and forgets the oldest ones."""
        if self.latest and step_of(self.latest) == step:
            return
        self._step.assign(step)
        try:
            self._manager.save(checkpoint_number=step)
        except tf.errors.OpError as error:
            raise UserError(f"checkpoint {step} cannot be written: {error.message}") from error

    def restore(self) -> int:
        """Restores the newest checkpoint; gives its step, 0 when there is none.

        Raises:
            UserError: when it is of another architecture.
        """
        if self.latest is None:
            return 0
        try:
            self._checkpoint.restore(self.latest).assert_existing_objects_matched()
        except (ValueError, AssertionError, tf.errors.InvalidArgumentError) as error:
            raise another_architecture(self.latest, error) from error
        return int(self._step.numpy())


class UnreadableCheckpointError(UserError):
    """The files of a checkpoint are gone, or damaged."""


def restore_model(checkpoint: Path, model: keras.Model) -> None:
    """Restores the network alone.

    Raises:
        UserError: when the checkpoint is of another architecture.
        UnreadableCheckpointError: when its files are gone or damaged.
    """
    parts = tf.train.Checkpoint(backbone=model.get_layer("backbone"), head=model.get_layer("head"))
    try:
        parts.restore(str(checkpoint)).expect_partial().assert_existing_objects_matched()
    except (ValueError, AssertionError, tf.errors.InvalidArgumentError) as error:
        raise another_architecture(checkpoint, error) from error
    except (tf.errors.OpError, RuntimeError, IndexError) as error:
        # TensorFlow's reader has a different error for every way in which files can vanish or end early.
        gone = len(list(checkpoint.parent.glob(f"{checkpoint.name}.*"))) < 2
        why = "was deleted before it could be read" if gone else f"cannot be read ({str(error).splitlines()[0]})"
        raise UnreadableCheckpointError(f"{checkpoint} {why}") from error


def another_architecture(checkpoint: str | Path, error: Exception) -> UserError:
    """The clear error for weights that do not fit."""
    reason = str(error).strip().splitlines()[0].rstrip(".")
    return UserError(
        f"{checkpoint}: a checkpoint of another architecture ({reason}); compare model_type, head, embedding_size and "
        f"the network's other parameters with those of the run that wrote it, or use another --model_dir"
    )
