"""Each (anchor, positive) with the nearest negative beyond the positive, else with the farthest negative.

The mining of FaceNet (Schroff et al., section 3.2) as TensorFlow Addons' `triplet_semihard_loss` defines it.
"""

from collections.abc import Callable

import tensorflow as tf

from model.losses import Terms, count


def terms(
    distances: tf.Tensor, positives: tf.Tensor, negatives: tf.Tensor, excess: Callable[[tf.Tensor], tf.Tensor]
) -> Terms:
    """One term per (anchor, positive); needs memory for A x B x B numbers."""
    infinity = float("inf")
    beyond = negatives[:, None, :] & (distances[:, None, :] > distances[:, :, None])  # (A, positive, negative)
    nearest_beyond = tf.reduce_min(tf.where(beyond, distances[:, None, :], infinity), axis=2)  # (A, B)
    farthest = tf.reduce_max(tf.where(negatives, distances, -infinity), axis=1, keepdims=True)  # (A, 1)
    chosen = tf.where(tf.reduce_any(beyond, axis=2), nearest_beyond, farthest)
    valid = positives & tf.reduce_any(negatives, axis=1, keepdims=True)
    losses = tf.where(valid, excess(distances - tf.where(valid, chosen, 0.0)), 0.0)  # (A, B)
    return Terms(tf.reduce_sum(losses), count(valid), count(losses > 0), count(valid))
