"""The learning-rate schedule, and Adam with a separate learning rate for the backbone."""

import math
from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from model.configuration.params import Params

EPSILON = 1e-7  # the default of Keras


class LearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """Warm-up, then constant, exponential, cosine or stepwise decay, as a pure function of the step.

    With r the `learning_rate`, t the step, T the number of steps, t0 = `decay_start_step` and e =
    `decay_final_fraction`, for t > t0:

    - exponential: r * e^((t - t0) / (T - t0))        (Hermans et al., section 4.2)
    - cosine: r * (e + (1 - e) * (1 + cos(pi * (t - t0) / (T - t0))) / 2)
    - step: r * decay_factor^n, where n of the `decay_steps` are <= t; T and t0 do not matter

    In the first `warmup_steps` steps the result is multiplied by (t + 1) / warmup_steps. On a plateau
    (model/training/supervisor.py) it is multiplied by a further factor, which is not a function of the step.
    """

    def __init__(self, params: Params, total_steps: int) -> None:
        self._params, self._total = params, total_steps
        # A variable, because it changes between compiled steps. It is not part of checkpoints.
        self._plateau = tf.Variable(1.0, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)
        self._lowered_to = 1.0

    def lower(self, factor: float) -> None:
        """Multiplies the schedule by `factor` from now on; replaces the last factor."""
        if factor != self._lowered_to:
            self._plateau.assign(factor)
            self._lowered_to = factor

    def __call__(self, step: tf.Tensor | int) -> tf.Tensor:
        """The learning rate of step 0, 1, ...: a float32 scalar."""
        p = self._params
        step = tf.cast(step, tf.float32)
        length = max(self._total - p.decay_start_step, 1)
        progress = tf.clip_by_value((step - p.decay_start_step) / length, 0.0, 1.0)
        factor = tf.ones_like(progress)
        if p.learning_rate_schedule == "exponential":
            factor = tf.pow(tf.constant(p.decay_final_fraction), progress)
        elif p.learning_rate_schedule == "cosine":
            low = p.decay_final_fraction
            factor = low + (1.0 - low) * (1.0 + tf.cos(math.pi * progress)) / 2.0
        elif p.learning_rate_schedule == "step":
            passed = tf.reduce_sum(tf.cast(step >= tf.constant(p.decay_steps, tf.float32), tf.float32))
            factor = tf.pow(tf.constant(p.decay_factor), passed)
        warmup = tf.minimum((step + 1.0) / max(p.warmup_steps, 1), 1.0)
        return p.learning_rate * factor * warmup * self._plateau


class BackboneAdam(keras.optimizers.Adam):
    """Adam (Kingma & Ba, algorithm 1) with scaled steps for the backbone, which may begin to learn later.

    With a the learning rate of the schedule, the backbone's variables move by

        a * backbone_learning_rate / learning_rate * sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + epsilon),

    where t counts the steps in which they learned, i.e. from `freeze_backbone_steps` on: as in an Adam that starts
    there. The optimizer's variables do not depend on these parameters, so checkpoints always fit.
    """

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule, params: Params) -> None:
        super().__init__(schedule, epsilon=EPSILON)
        self.backbone_scale = (params.backbone_learning_rate or params.learning_rate) / params.learning_rate
        self._start = params.freeze_backbone_steps
        self._backbone: frozenset[int] = frozenset()  # indices of its variables; a set is not part of a checkpoint

    def build_for(self, backbone: Iterable[keras.Variable], variables: list[keras.Variable]) -> None:
        """Creates the moments of `variables`; those also in `backbone` get the scaled steps."""
        self.build(variables)
        self._backbone = frozenset(self._get_variable_index(variable) for variable in backbone)

    def learning_rates(self, step: int) -> dict[str, float]:
        """The learning rates of step 0, 1, ... for the log; `backbone_learning_rate` only if it differs."""
        # TensorFlow keeps every Python number that becomes a tensor, but none of NumPy's.
        rate = float(self._learning_rate(np.int64(step)))
        rates = {"learning_rate": rate}
        if self._start or self.backbone_scale != 1.0:
            rates["backbone_learning_rate"] = rate * self.backbone_scale if step >= self._start else 0.0
        return rates

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        """Updates one variable; Keras calls it for each variable with a gradient."""
        if self._get_variable_index(variable) in self._backbone:
            if self.backbone_scale != 1.0:
                learning_rate = learning_rate * self.backbone_scale
            if self._start:  # Keras corrects the bias for the total number of steps
                late = self._correction(self.iterations + 1 - self._start)
                learning_rate = learning_rate * late / self._correction(self.iterations + 1)
        super().update_step(gradient, variable, learning_rate)

    def _correction(self, steps: tf.Tensor) -> tf.Tensor:
        """sqrt(1 - b2^t) / (1 - b1^t)."""
        t = tf.cast(steps, tf.float32)
        return tf.sqrt(1.0 - tf.pow(self.beta_2, t)) / (1.0 - tf.pow(self.beta_1, t))
