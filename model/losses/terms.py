"""The result of a triplet strategy, and its options."""

from typing import NamedTuple

import tensorflow as tf


class Terms(NamedTuple):
    """The result of a strategy for A anchors: (A,) float32 each, except for the gradient.

    Attributes:
        total: the sum of the losses of the anchor's terms (pairs, triplets, or one term for the anchor itself).
        count: the number of terms over which the mean is taken.
        active: the number of terms with a loss above 0.
        valid: the number of all terms.
        gradient: (A, N), the gradient of the sum of `total` by the distances to all N images.
    """

    total: tf.Tensor
    count: tf.Tensor
    active: tf.Tensor
    valid: tf.Tensor
    gradient: tf.Tensor


class Options(NamedTuple):
    """Settings of single strategies.

    Attributes:
        batch_all_mean: "active" or "valid": the triplets over which `batch_all` averages.
        random: (N, 2) numbers in [0, 1), with which `batch_sample` draws.
    """

    batch_all_mean: str
    random: tf.Tensor


def evenly(chosen: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """The weight of each row, shared evenly by its chosen columns: (A, N) bool, (A,) -> (A, N); 0 if there are none."""
    share = tf.cast(chosen, tf.float32)
    return share * tf.math.divide_no_nan(weight, tf.reduce_sum(share, axis=1))[:, None]
