"""All triplets of the batch, averaged over those with a loss (Hermans et al., section 2, equation 6)."""

from collections.abc import Callable

import tensorflow as tf

from model.losses import Terms, count


def terms(
    distances: tf.Tensor, positives: tf.Tensor, negatives: tf.Tensor, excess: Callable[[tf.Tensor], tf.Tensor]
) -> Terms:
    """One term per (anchor, positive, negative); needs memory for A x B x B numbers."""
    valid = positives[:, :, None] & negatives[:, None, :]  # (A, B, B)
    losses = excess(distances[:, :, None] - distances[:, None, :])
    active = valid & (losses > 0)
    return Terms(tf.reduce_sum(tf.where(active, losses, 0.0)), count(active), count(active), count(valid))
