"""Layers that Keras lacks: generalised-mean pooling, and vectors divided by their length, whatever it is."""

from typing import Any

import keras

register = keras.saving.register_keras_serializable(package="triplet")  # a file names them so: it loads in safe mode

# The smallest normal number of float32. Processors may take smaller ones for 0.
_TINY = 1.1754944e-38
EPSILON = 1e-6  # what activations are raised to
P_RANGE = (1.0, 100.0)  # as that of gem_p


@register
class WithinRange(keras.constraints.Constraint):
    """Keeps a learned p where it means something: from the mean (1) to about the maximum (100)."""

    def __call__(self, p: Any) -> Any:
        """After a step of the optimizer."""
        return keras.ops.clip(p, *P_RANGE)


@register
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

    def get_config(self) -> dict[str, Any]:
        """What a saved model says of it."""
        return super().get_config() | {"p": self.p, "learned": self.learned}

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


@register
class UnitLength(keras.layers.Layer):
    """x / |x| over the last axis, signs kept; 0 for the zero vector, with the gradient that x itself would have.

    `keras.layers.UnitNormalization` divides by 1e-12 at least: a shorter vector comes out too short there, the gradient
    at 0 is 1e12, and a vector longer than 1e19, whose square float32 cannot hold, comes out as 0. Here the largest
    coordinate is divided out before anything is squared. It cancels, so that the gradient may take it as a constant.
    """

    def __init__(self, **kwargs: Any) -> None:
        """`kwargs` are those of a Keras layer."""
        super().__init__(**{"dtype": "float32"} | kwargs)

    def call(self, vectors: Any) -> Any:
        """(..., D) -> (..., D), rows of length 1 or 0."""
        largest = keras.ops.stop_gradient(keras.ops.max(keras.ops.abs(vectors), axis=-1, keepdims=True))  # (..., 1)
        is_zero = largest < _TINY
        scaled = vectors / keras.ops.where(is_zero, 1.0, largest)
        squares = keras.ops.sum(keras.ops.square(scaled), axis=-1, keepdims=True)  # from 1 to D, except for 0
        return scaled / keras.ops.sqrt(keras.ops.where(is_zero, 1.0, squares))
