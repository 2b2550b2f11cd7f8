"""Semi-hard mining: each (anchor, positive) with the nearest negative beyond the positive."""

import tensorflow as tf

from model.losses.chunks import Chunk, add_at
from model.losses.margins import Margin
from model.losses.terms import Terms


def semi_hard_terms(chunk: Chunk, margin: Margin, *, else_farthest: bool) -> Terms:
    """One term per (anchor, positive).

    Args:
        chunk: A anchors.
        margin: the loss of a triplet.
        else_farthest: if no negative is beyond the positive, take the farthest negative instead of skipping the pair.
    """
    infinity = float("inf")
    if else_farthest:
        farthest = tf.argmax(tf.where(chunk.apart < infinity, chunk.apart, -1.0), axis=1, output_type=tf.int32)  # (A,)

    def add(
        r: tf.Tensor, total: tf.Tensor, active: tf.Tensor, count: tf.Tensor, gradient: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        positive, found = chunk.positive(r)
        reach = chunk.distance_to(positive)  # (A,)
        beyond = tf.where(chunk.apart > reach[:, None], chunk.apart, infinity)
        negative = tf.argmin(beyond, axis=1, output_type=tf.int32)  # the first of those that tie
        paired = found & chunk.valid
        exists = tf.gather(beyond, negative, batch_dims=1) < infinity
        if else_farthest:
            negative = tf.where(exists, negative, farthest)
        else:
            paired &= exists
        term = tf.cast(paired, tf.float32)
        value, slope, above = (term * part for part in margin(reach - chunk.distance_to(negative)))
        gradient = add_at(add_at(gradient, positive, slope), negative, -slope)
        return r + 1, total + value, active + above, count + term, gradient

    nothing = tf.zeros_like(chunk.positive_count)
    loop = [1, nothing, nothing, nothing, tf.zeros_like(chunk.distances)]
    _, total, active, count, gradient = tf.while_loop(lambda r, *_: r <= chunk.most, add, loop, parallel_iterations=1)
    return Terms(total, count, active, count, gradient)
