"""Pairwise distances of embeddings, in float32 whatever comes in."""

import tensorflow as tf


def pairwise(a: tf.Tensor, b: tf.Tensor, metric: str) -> tf.Tensor:
    """Distances of every row of `a` to every row of `b`: (A, D), (B, D) -> (A, B) float32.

    `metric` is euclidean, sqeuclidean (its square) or cityblock (sum of absolute differences). The euclidean
    distance has gradient 0 where two rows are equal, instead of the NaN of sqrt at 0.

    Raises:
        ValueError: for another metric.
    """
    a, b = tf.cast(a, tf.float32), tf.cast(b, tf.float32)
    if metric == "cityblock":
        return tf.reduce_sum(tf.abs(a[:, None, :] - b[None, :, :]), axis=-1)
    if metric not in ("euclidean", "sqeuclidean"):
        raise ValueError(f"unknown metric {metric!r}; the choices are euclidean, sqeuclidean, cityblock")
    squares_a = tf.reduce_sum(tf.square(a), axis=1, keepdims=True)  # (A, 1)
    squares_b = tf.reduce_sum(tf.square(b), axis=1)  # (B,)
    squared = squares_a + squares_b - 2.0 * tf.matmul(a, b, transpose_b=True)  # (A, B)
    zero = squared <= 0.0  # rounding may leave small negative numbers; NaN stays NaN
    if metric == "sqeuclidean":
        return tf.where(zero, 0.0, squared)
    # The inner where keeps the gradient of sqrt finite, the outer one takes it away.
    return tf.where(zero, 0.0, tf.sqrt(tf.where(zero, 1.0, squared)))
