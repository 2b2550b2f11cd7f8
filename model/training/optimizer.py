"""Adam with a learning rate of its own for the backbone, which may also begin to learn later than the rest."""

from collections.abc import Iterable

import keras
import tensorflow as tf

from model.configuration.params import Params

EPSILON = 1e-7  # as Keras has it


class BackboneAdam(keras.optimizers.Adam):
    """Adam (Kingma & Ba, algorithm 1) whose steps are scaled for some of the variables.

    With a the learning rate of the schedule, the backbone's variables move by

        a * backbone_learning_rate / learning_rate * sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + epsilon),

    t the steps that they have learned for: all, or those from `freeze_backbone_steps` on. So their moments are what
    they would be in an Adam that started there. Its variables are those of one Adam over all, whatever the parameters,
    so that checkpoints fit.
    """

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule, params: Params) -> None:
        super().__init__(schedule, epsilon=EPSILON)
        self.backbone_scale = (params.backbone_learning_rate or params.learning_rate) / params.learning_rate
        self._start = params.freeze_backbone_steps
        self._backbone: frozenset[int] = frozenset()  # the places of its variables; a set is no part of a checkpoint

    def build_for(self, backbone: Iterable[keras.Variable], variables: list[keras.Variable]) -> None:
        """Makes the moments of `variables`, some of which are the backbone's."""
        self.build(variables)
        self._backbone = frozenset(self._get_variable_index(variable) for variable in backbone)

    def learning_rates(self, step: int) -> dict[str, float]:
        """What step 0, 1, ... learns with, for the log: `learning_rate`, and `backbone_learning_rate` if it differs."""
        rate = float(self._learning_rate(step))
        rates = {"learning_rate": rate}
        if self._start or self.backbone_scale != 1.0:
            rates["backbone_learning_rate"] = rate * self.backbone_scale if step >= self._start else 0.0
        return rates

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        """Adam's step for one variable; Keras calls it for each that has a gradient."""
        if self._get_variable_index(variable) in self._backbone:
            if self.backbone_scale != 1.0:
                learning_rate = learning_rate * self.backbone_scale
            if self._start:  # Keras corrects the bias for all steps, in a factor of the learning rate
                late = self._correction(self.iterations + 1 - self._start)
                learning_rate = learning_rate * late / self._correction(self.iterations + 1)
        super().update_step(gradient, variable, learning_rate)

    def _correction(self, steps: tf.Tensor) -> tf.Tensor:
        """sqrt(1 - b2^t) / (1 - b1^t)."""
        t = tf.cast(steps, tf.float32)
        return tf.sqrt(1.0 - tf.pow(self.beta_2, t)) / (1.0 - tf.pow(self.beta_1, t))
