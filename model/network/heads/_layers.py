"""Layers that Keras lacks: generalised-mean pooling, and division by the length that works for any length."""

from typing import Any

import keras

register = keras.saving.register_keras_serializable(
    package="triplet"
)  # the name in saved files, which then load in safe mode

# The smallest normal number of float32. Processors may treat smaller ones as 0.
_TINY = 1.1754944e-38
EPSILON = 1e-6  # smaller activations count as this
P_RANGE = (1.0, 100.0)  # the same as for gem_p


@register
class WithinRange(keras.constraints.Constraint):
    """Keeps a learned p in its useful range: from the mean (1) to almost the maximum (100)."""

    def __call__(self, p: Any) -> Any:
        """Called after each step of the optimizer."""
        return keras.ops.clip(p, *P_RANGE)


@register
class GeneralizedMeanPooling2D(keras.layers.Layer):
    """(mean over the positions of max(x, 1e-6)^p)^(1/p): (B, h, w, F) -> (B, F) float32.

    p = 1 is the mean, and p towards infinity the maximum (Radenovic et al., Fine-tuning CNN Image Retrieval with No
    Human Annotation, section 3.2). All channels share one p: the paper found one per channel no better.

    Activations are first divided by the largest one of their channel, m. So no power overflows. m cancels in
    m * (mean((x / m)^p))^(1/p), so the gradient may treat it as a constant.
    """

    def __init__(self, p: float = 3.0, learned: bool = False, **kwargs: Any) -> None:
        """Args:
        p: the exponent, or its initial value.
        learned: whether p is a weight.
        kwargs: arguments of a Keras layer.
        """
        super().__init__(**{"dtype": "float32"} | kwargs)
        self.p, self.learned = p, learned

    def get_config(self) -> dict[str, Any]:
        """The configuration in a saved model."""
        return super().get_config() | {"p": self.p, "learned": self.learned}

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Adds the weight if p is learned."""
        if self.learned:
            start = keras.initializers.Constant(self.p)
            self.exponent = self.add_weight(name="p", shape=(), initializer=start, constraint=WithinRange())
        else:
            self.exponent = self.p

    def call(self, features: Any) -> Any:
        """(B, h, w, F) -> (B, F)."""
        x = keras.ops.maximum(features, EPSILON)
        largest = keras.ops.stop_gradient(keras.ops.max(x, axis=(1, 2), keepdims=True))  # (B, 1, 1, F)
        powers = keras.ops.power(x / largest, self.exponent)  # at most 1; their mean is at least 1 / (h * w)
        means = keras.ops.power(keras.ops.mean(powers, axis=(1, 2)), 1.0 / self.exponent)  # (B, F)
        return means * largest[:, 0, 0, :]


@register
class UnitLength(keras.layers.Layer):
    """x / |x| over the last axis. The zero vector stays 0, and its gradient is that of the identity.

    `keras.layers.UnitNormalization` divides by at least 1e-12: shorter vectors get a length below 1, the gradient at 0
    is 1e12, and a vector longer than 1e19 becomes 0 because float32 cannot hold its square. Here vectors are
    divided by their largest coordinate before squaring. It cancels, so the gradient may treat it as a constant.
    """

    def __init__(self, **kwargs: Any) -> None:
        """`kwargs` are arguments of a Keras layer."""
        super().__init__(**{"dtype": "float32"} | kwargs)

    def call(self, vectors: Any) -> Any:
        """(..., D) -> (..., D), rows of length 1 or 0."""
        largest = keras.ops.stop_gradient(keras.ops.max(keras.ops.abs(vectors), axis=-1, keepdims=True))  # (..., 1)
        is_zero = largest < _TINY
        scaled = vectors / keras.ops.where(is_zero, 1.0, largest)
        squares = keras.ops.sum(keras.ops.square(scaled), axis=-1, keepdims=True)  # from 1 to D; 0 for the zero vector
        return scaled / keras.ops.sqrt(keras.ops.where(is_zero, 1.0, squares))
