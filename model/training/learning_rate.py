"""The learning-rate schedule."""

import math

import keras
import tensorflow as tf

from model.configuration.params import Params


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
