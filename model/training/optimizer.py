"""Adam, AdamW and SGD with a separate learning rate for the backbone, and clipping of the whole gradient."""

from collections.abc import Iterable, Sequence

import keras
import numpy as np
import tensorflow as tf

from model.configuration.params import Params

EPSILON = 1e-7  # the default of Keras


def make_optimizer(schedule: keras.optimizers.schedules.LearningRateSchedule, params: Params) -> "Optimizer":
    """The optimizer that the parameters ask for, not yet built."""
    return (SGD if params.optimizer == "sgd" else Adam)(schedule, params)


class Optimizer(keras.optimizers.Optimizer):
    """What the optimizers have in common. A step of replica r with the gradients g_r of its loss:

    1. g = sum of g_r over the replicas; Keras's own clipping comes before this sum.
    2. g = g * min(1, clip_norm / |g|), where |g| is the norm of the gradients of all variables together.
    3. Each variable takes its step with its learning rate a: that of the schedule, and for the backbone's variables
       a * backbone_learning_rate / learning_rate. Their steps are counted from `freeze_backbone_steps` on, as in an
       optimizer that starts there.
    4. x = x - a * weight_decay * x as well (Loshchilov & Hutter, Decoupled Weight Decay Regularization), with the x
       before the step, but only for kernels of layers: not for biases, batch norm, or the exponent of GeM.

    Its variables depend on no parameter but `optimizer`, so checkpoints fit.
    """

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule, params: Params) -> None:
        super().__init__(schedule)
        self.backbone_scale = (params.backbone_learning_rate or params.learning_rate) / params.learning_rate
        self._start, self._clip_norm, self._decay = params.freeze_backbone_steps, params.clip_norm, params.weight_decay
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

    def apply(
        self, grads: Sequence[tf.Tensor | None], trainable_variables: Sequence[keras.Variable]
    ) -> tf.Tensor | None:
        """One step of the variables, each with its gradient; those without one (None) stay.

        Called on each replica, with the gradients of its loss.

        Returns:
            The norm of the whole gradient before clipping, a scalar; None without `clip_norm`.
        """
        pairs = [pair for pair in zip(grads, trainable_variables, strict=True) if pair[0] is not None]
        gradients, variables = zip(*pairs, strict=True)
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync > 1:
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, list(gradients))
        norm = None
        if self._clip_norm:
            gradients, norm = tf.clip_by_global_norm(gradients, self._clip_norm)
        rate, steps = self.learning_rate, tf.cast(self.iterations + 1, tf.float32)
        for gradient, variable in zip(gradients, variables, strict=True):
            index = self._get_variable_index(variable)
            of_backbone = index in self._backbone
            own_rate = rate * self.backbone_scale if of_backbone else rate
            if self._decay and len(variable.shape) > 1:
                decay = self._decay * own_rate
                tf.raw_ops.AssignSubVariableOp(resource=variable.value.handle, value=decay * variable.value)
            self._move(variable, gradient, index, own_rate, steps - self._start if of_backbone else steps)
            if variable.constraint is not None:
                variable.assign(variable.constraint(variable))
        self._iterations.assign_add(1)
        return norm

    def _move(
        self, variable: keras.Variable, gradient: tf.Tensor, index: int, rate: tf.Tensor, steps: tf.Tensor
    ) -> None:
        """Changes the replica's copy of the variable with this index, in its step number `steps` = 1, 2, ..."""
        raise NotImplementedError


class Adam(Optimizer):
    """Adam (Kingma & Ba, algorithm 1, with the epsilon of Keras):

        x = x - a * sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + epsilon).

    Variables and checkpoints are those of `keras.optimizers.Adam`. TensorFlow's kernel updates x, m and v in one pass.
    """

    def build(self, variables: list[keras.Variable]) -> None:
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(variables, ["momentum", "velocity"])

    def _move(
        self, variable: keras.Variable, gradient: tf.Tensor, index: int, rate: tf.Tensor, steps: tf.Tensor
    ) -> None:
        beta_1, beta_2 = 0.9, 0.999
        tf.raw_ops.ResourceApplyAdam(
            var=variable.value.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(beta_1, steps),
            beta2_power=tf.pow(beta_2, steps),
            lr=rate,
            beta1=beta_1,
            beta2=beta_2,
            epsilon=EPSILON,
            grad=gradient,
        )


class SGD(Optimizer):
    """Gradient descent with momentum, as in Keras: u = momentum * u - a * g; x = x + u."""

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule, params: Params) -> None:
        super().__init__(schedule, params)
        self._momentum = params.momentum

    def build(self, variables: list[keras.Variable]) -> None:
        super().build(variables)
        self._momentums = self.add_optimizer_variables(variables, "momentum")

    def _move(
        self, variable: keras.Variable, gradient: tf.Tensor, index: int, rate: tf.Tensor, steps: tf.Tensor
    ) -> None:
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.value.handle,
            accum=self._momentums[index].value.handle,
            lr=rate,
            grad=gradient,
            momentum=self._momentum,
        )
