"""What a strategy gets and gives back."""

from typing import NamedTuple

import tensorflow as tf


class Terms(NamedTuple):
    """What a strategy computes of A anchors: (A,) float32 each, but for the gradient.

    Attributes:
        total: the sum of the losses of the anchor's terms (pairs or triples, or one for the anchor itself).
        count: the number of terms that the mean is taken over.
        active: the number of terms with a loss above 0.
        valid: the number of terms that there are.
        gradient: (A, N) of the sum of `total`, by the distances to all N images.
    """

    total: tf.Tensor
    count: tf.Tensor
    active: tf.Tensor
    valid: tf.Tensor
    gradient: tf.Tensor


class Options(NamedTuple):
    """Settings that only some strategies look at.

    Attributes:
        batch_all_mean: "active" or "valid": which triples `batch_all` takes its mean over.
        random: (N, 2) numbers in [0, 1) by which `batch_sample` draws.
    """

    batch_all_mean: str
    random: tf.Tensor


def evenly(chosen: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """A weight for each row, shared by the columns that tie: (A, N) bool, (A,) -> (A, N); 0 where none is chosen."""
    share = tf.cast(chosen, tf.float32)
    return share * tf.math.divide_no_nan(weight, tf.reduce_sum(share, axis=1))[:, None]
