"""Fixed triplets: rows 3t, 3t + 1 and 3t + 2 are an anchor, its positive and its negative (`sampling: "triplets"`)."""

import tensorflow as tf

from model.losses.chunks import Chunk, add_at
from model.losses.margins import Margin
from model.losses.terms import Options, Terms


def terms(chunk: Chunk, margin: Margin, options: Options) -> Terms:
    """One term per row 3t."""
    last = tf.shape(chunk.distances)[1] - 1
    positive, negative = tf.minimum(chunk.rows + 1, last), tf.minimum(chunk.rows + 2, last)
    given = tf.cast(chunk.real & (chunk.rows % 3 == 0) & (chunk.rows + 2 <= last), tf.float32)
    value, slope, above = (given * part for part in margin(chunk.distance_to(positive) - chunk.distance_to(negative)))
    gradient = add_at(add_at(tf.zeros_like(chunk.distances), positive, slope), negative, -slope)
    return Terms(value, given, above, given, gradient)
