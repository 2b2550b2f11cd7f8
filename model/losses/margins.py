"""Margins: the loss of a triplet (anchor, positive, negative), given x = d(a, p) - d(a, n)."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf


class Cost(NamedTuple):
    """f, f', and whether f > 0 (as 0 or 1), element by element, float32."""

    value: tf.Tensor
    slope: tf.Tensor
    active: tf.Tensor


class Margin(NamedTuple):
    """f(x) = shifted(x + shift).

    With the margin as a shift, one addition to (A,) numbers is enough for all (A, N) numbers of the anchors.

    Attributes:
        shift: the number added to x.
        shifted: y = x + shift -> Cost. Minus infinity has cost 0 and slope 0.
        signed: whether f can be below 0.
    """

    shift: float
    shifted: Callable[[tf.Tensor], Cost]
    signed: bool = False

    def __call__(self, x: tf.Tensor) -> Cost:
        """The cost at x."""
        return self.shifted(x + self.shift)


def margin_of(margin: float | str) -> Margin:
    """f(x) = max(0, x + margin) for a number, softplus(x) for "soft", x for "none"."""
    if margin == "soft":
        return Margin(0.0, _softplus)
    if margin == "none":
        return Margin(0.0, _identity, signed=True)
    return Margin(float(margin), _hinge)


def _hinge(y: tf.Tensor) -> Cost:
    value = tf.nn.relu(y)
    slope = tf.sign(value)
    return Cost(value, slope, slope)


def _softplus(y: tf.Tensor) -> Cost:
    value = tf.nn.softplus(y)
    return Cost(value, tf.sigmoid(y), tf.sign(value))


def _identity(y: tf.Tensor) -> Cost:
    exists = y > -float("inf")
    value = tf.where(exists, y, 0.0)
    return Cost(value, tf.cast(exists, tf.float32), tf.sign(tf.nn.relu(value)))
