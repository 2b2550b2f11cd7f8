"""Each anchor with its farthest positive and its nearest negative (Hermans et al., section 2, equation 5)."""

from collections.abc import Callable

import tensorflow as tf

from model.losses import Terms, count, hardest


def terms(
    distances: tf.Tensor, positives: tf.Tensor, negatives: tf.Tensor, excess: Callable[[tf.Tensor], tf.Tensor]
) -> Terms:
    """One term per anchor that has a positive and a negative."""
    farthest, nearest, valid = hardest(distances, positives, negatives)
    losses = tf.where(valid, excess(farthest - nearest), 0.0)  # (A,)
    return Terms(tf.reduce_sum(losses), count(valid), count(losses > 0), count(valid))
