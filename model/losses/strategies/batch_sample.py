"""Each anchor with a random positive and a random negative (Hermans et al., section 2, "batch sample")."""

import tensorflow as tf

from model.losses.chunks import Chunk, add_at
from model.losses.margins import Margin
from model.losses.terms import Options, Terms


def terms(chunk: Chunk, margin: Margin, options: Options) -> Terms:
    """One term per anchor with a positive and a negative, each drawn with equal probability."""
    random = tf.gather(options.random, chunk.rows)  # (A, 2)

    def draw(number: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.minimum(number * count, tf.maximum(count - 1.0, 0.0)), tf.int32)

    positive, _ = chunk.positive(1 + draw(random[:, 0], chunk.positive_count))
    negative = chunk.negative(draw(random[:, 1], chunk.negative_count))
    valid = tf.cast(chunk.valid, tf.float32)
    value, slope, above = (valid * part for part in margin(chunk.distance_to(positive) - chunk.distance_to(negative)))
    gradient = add_at(add_at(tf.zeros_like(chunk.distances), positive, slope), negative, -slope)
    return Terms(value, valid, above, valid, gradient)
