"""Vectors divided by their length, whatever it is."""

from typing import Any

import keras

# The smallest normal number of float32. Processors may take smaller ones for 0.
_TINY = 1.1754944e-38


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
