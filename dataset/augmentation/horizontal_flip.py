"""Half of the images mirrored."""

from typing import Any

import tensorflow as tf


def augment(image: tf.Tensor, seed: tf.Tensor, params: Any) -> tf.Tensor:
    """(H, W, C) -> (H, W, C), mirrored with probability 1/2."""
    chosen = tf.random.stateless_uniform([], seed) < 0.5  # from [0, 1)
    return tf.cond(chosen, lambda: mirror(image), lambda: image)


def mirror(image: tf.Tensor) -> tf.Tensor:
    """(H, W, C) -> (H, W, C): left and right exchanged."""
    return tf.reverse(image, [1])
