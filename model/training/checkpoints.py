"""Saves and restores checkpoints.

A checkpoint is `checkpoints/ckpt-<step>.index` and `.data-*`. It holds backbone, head, with `ema_decay` their averages
(`AVERAGES`), the variables of the loss, the optimizer, the step, and the state of Keras's seed generators, which Keras
does not put into a TensorFlow checkpoint.
"""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from model.losses.objective import Objective
from model.run.checkpoint_files import NonFiniteError, keep_newest, list_checkpoints, step_of
from model.run.restore import AVERAGES, holds_averages, restore_parts
from model.training.average import WeightAverage
from model.training.checkpoint_writer import CheckpointWriter


def _seed_states(model: keras.Model) -> list[tf.Variable]:
    return [variable.value for variable in model.variables if "seed_generator" in variable.path]


class TrainingCheckpoints:
    """Saves the whole state of a training, and restores it bit for bit.

    Attributes:
        variables: all that a checkpoint holds.
    """

    def __init__(
        self,
        folder: Path,
        model: keras.Model,
        objective: Objective,
        optimizer: keras.optimizers.Optimizer,
        keep: int | None,
        average: WeightAverage | None = None,
        *,
        writer: bool = True,
    ) -> None:
        """Args:
        folder: the run's `checkpoints/`.
        model: an embedder.
        objective: its loss.
        optimizer: its optimizer, already built.
        keep: number of newest checkpoints to keep; None: all.
        average: the average of the model's weights, if there is one.
        writer: whether this process writes and reads checkpoints. The others only check the weights.
        """
        self._folder, self._variables = folder, [*model.variables, *objective.variables]
        self._writer, self._average = writer, average
        self._step = tf.Variable(0, dtype=tf.int64)
        self._learning = {name: model.get_layer(name) for name in AVERAGES} | objective.parts
        self._learning |= {"seeds": _seed_states(model), "optimizer": optimizer, "step": self._step}
        averages = {AVERAGES[name]: average.network.embedder.get_layer(name) for name in AVERAGES} if average else {}
        self._checkpoint = tf.train.Checkpoint(**self._learning, **averages)
        self.variables = [*self._variables, *optimizer.variables, *(average.variables if average else ()), self._step]
        self.before_saving: list[Callable[[], None]] = []  # called first in `save`
        self.place: Callable[[int], str] = lambda step: f"step {step}"  # words for a step in an error
        self._keep, self._files = keep, CheckpointWriter(self._checkpoint)

    @property
    def step(self) -> int:
        """The number of steps done when this state was saved or restored."""
        return int(self._step.numpy())

    @property
    def latest(self) -> Path | None:
        """The newest checkpoint, without suffix."""
        self._files.settle()
        listed = list_checkpoints(self._folder)
        return listed[-1][1] if listed else None

    def save(self, step: int) -> None:
        """Writes `ckpt-<step>` unless it is the newest already, and deletes the oldest checkpoints.

        Raises:
            As `begin`.
        """
        self.begin(step)
        self._files.wait()

    def begin(self, step: int) -> None:
        """Like `save`, but the files are written while training continues. Waits for those of the checkpoint before.

        Raises:
            NonFiniteError: when a weight is NaN or infinite; the checkpoint would replace a good one.
            UserError: when it, or the one before, cannot be written.
        """
        self._files.wait()
        if self._writer and self.latest and step_of(self.latest) == step:
            return
        for action in self.before_saving:
            action()
        for variable in self._variables:
            kind = tf.as_dtype(variable.dtype)
            if kind.is_floating and not np.isfinite(np.asarray(variable.numpy(), np.float32)).all():
                name = getattr(variable, "path", variable.name)
                raise NonFiniteError(f"weight {name} became NaN or infinite at {self.place(step)}", self.latest)
        if not self._writer:
            return
        self._step.assign(step)
        self._checkpoint.save_counter.assign_add(1)
        self._files.begin(self._folder / f"ckpt-{step}", lambda: keep_newest(self._folder, self._keep))

    def check(self) -> None:
        """Raises a UserError if the checkpoint that `begin` began proved impossible to write."""
        self._files.check()

    def close(self) -> None:
        """Waits for the last checkpoint; `save` tells errors of writing it."""
        self._files.settle()

    def restore(self) -> int:
        """Restores the newest checkpoint and returns its step; returns 0 without a checkpoint.

        The average begins with the restored weights if the checkpoint does not have it.

        Raises:
            UserError: when the checkpoint has another architecture, or is damaged.
        """
        if self.latest is None:
            return 0
        if self._average and not holds_averages(self.latest, self.latest):
            restore_parts(tf.train.Checkpoint(**self._learning), self.latest, self.latest)
            self._average.begin()
        else:
            restore_parts(self._checkpoint, self.latest, self.latest)
        return self.step
