"""Generalised-mean pooling."""

from typing import Any

import keras

EPSILON = 1e-6  # what activations are raised to
P_RANGE = (1.0, 100.0)  # as that of gem_p


class WithinRange(keras.constraints.Constraint):
    """Keeps a learned p where it means something: from the mean (1) to about the maximum (100)."""

    def __call__(self, p: Any) -> Any:
        """After a step of the optimizer."""
        return keras.ops.clip(p, *P_RANGE)


class GeneralizedMeanPooling2D(keras.layers.Layer):
    """(mean over the places of max(x, 1e-6)^p)^(1/p): (B, h, w, F) -> (B, F) float32.

    p = 1 is the mean, p towards infinity the maximum (Radenovic et al., Fine-tuning CNN Image Retrieval with No Human
    Annotation, section 3.2). One p is for all channels: the paper found one for each no better.

    It is computed relative to the largest activation of a channel, so that no power overflows: the maximum m cancels
    in m * (mean((x / m)^p))^(1/p), and may be taken as a constant by the gradient.
    """

    def __init__(self, p: float = 3.0, learned: bool = False, **kwargs: Any) -> None:
        """Args:
        p: the exponent, or where it starts.
        learned: whether p is a weight.
        kwargs: of a Keras layer.
        """
        super().__init__(**{"dtype": "float32"} | kwargs)
        self.p, self.learned = p, learned

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the weight, if there is one."""
        if self.learned:
            start = keras.initializers.Constant(self.p)
            self.exponent = self.add_weight(name="p", shape=(), initializer=start, constraint=WithinRange())
        else:
            self.exponent = self.p

    def call(self, features: Any) -> Any:
        """(B, h, w, F) -> (B, F)."""
        x = keras.ops.maximum(features, EPSILON)
        largest = keras.ops.stop_gradient(keras.ops.max(x, axis=(1, 2), keepdims=True))  # (B, 1, 1, F)
        powers = keras.ops.power(x / largest, self.exponent)  # up to 1, so that their mean is 1 / (h * w) at least
        means = keras.ops.power(keras.ops.mean(powers, axis=(1, 2)), 1.0 / self.exponent)  # (B, F)
        return means * largest[:, 0, 0, :]
