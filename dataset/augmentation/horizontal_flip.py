"""Left and right exchanged, in some of the images."""

from typing import Any

import tensorflow as tf


def augment(image: tf.Tensor, seed: tf.Tensor, params: Any) -> tf.Tensor:
    """(H, W, C) -> (H, W, C), mirrored with probability `flip_probability`: with 0 none is, with 1 all are."""
    chosen = tf.random.stateless_uniform([], seed) < params.flip_probability  # of [0, 1)
    return tf.cond(chosen, lambda: mirror(image), lambda: image)


def mirror(image: tf.Tensor) -> tf.Tensor:
    """(H, W, C) -> (H, W, C): left and right exchanged."""
    return tf.reverse(image, [1])
