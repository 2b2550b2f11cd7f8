"""Left and right exchanged, in half of the images."""

from typing import Any

import tensorflow as tf


def augment(image: tf.Tensor, seed: tf.Tensor, params: Any) -> tf.Tensor:
    """(H, W, C) -> (H, W, C)."""
    return tf.cond(tf.random.stateless_uniform([], seed) < 0.5, lambda: image[:, ::-1], lambda: image)
