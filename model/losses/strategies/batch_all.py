"""All triplets of the batch, averaged over those with a loss above 0 or over all (Hermans et al., section 2, eq. 6)."""

import tensorflow as tf

from model.losses.chunks import Chunk, add_at
from model.losses.margins import Margin
from model.losses.terms import Options, Terms


def terms(chunk: Chunk, margin: Margin, options: Options) -> Terms:
    """One term per (anchor, positive, negative); the r-th positives of all anchors are computed together."""

    def add(r: tf.Tensor, total: tf.Tensor, active: tf.Tensor, gradient: tf.Tensor) -> tuple[tf.Tensor, ...]:
        positive, found = chunk.positive(r)
        # Minus infinity has loss 0: here if there is no r-th positive, in `apart` if the image is no negative.
        reach = tf.where(found, chunk.distance_to(positive) + margin.shift, -float("inf"))  # (A,)
        value, slope, above = margin.shifted(reach[:, None] - chunk.apart)  # (A, N)
        if margin.signed and options.batch_all_mean == "active":
            value, slope = value * above, above
        weight = tf.reduce_sum(slope, axis=1)
        number = weight if above is slope else tf.reduce_sum(above, axis=1)
        gradient = add_at(gradient - slope, positive, weight)
        return r + 1, total + tf.reduce_sum(value, axis=1), active + number, gradient

    nothing = tf.zeros_like(chunk.positive_count)
    loop = [1, nothing, nothing, tf.zeros_like(chunk.distances)]
    _, total, active, gradient = tf.while_loop(lambda r, *_: r <= chunk.most, add, loop, parallel_iterations=1)
    valid = chunk.positive_count * chunk.negative_count
    return Terms(total, active if options.batch_all_mean == "active" else valid, active, valid, gradient)
