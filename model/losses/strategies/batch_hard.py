"""Each anchor with its farthest positive and its nearest negative (Hermans et al., section 2, equation 5)."""

import tensorflow as tf

from model.losses.chunks import Chunk
from model.losses.margins import Margin
from model.losses.terms import Options, Terms, evenly


def terms(chunk: Chunk, margin: Margin, options: Options) -> Terms:
    """One term per anchor with a positive and a negative."""
    valid = tf.cast(chunk.valid, tf.float32)
    farthest = chunk.farthest_positive
    nearest = tf.where(chunk.valid, chunk.nearest_negative, 0.0)
    cost = margin(farthest - nearest)
    pull = evenly(chunk.same & (chunk.distances == farthest[:, None]), valid * cost.slope)
    push = evenly(chunk.apart == nearest[:, None], valid * cost.slope)
    return Terms(valid * cost.value, valid, valid * cost.active, valid, pull - push)
