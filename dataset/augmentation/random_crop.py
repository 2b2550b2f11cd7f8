"""A window of `image_size` at a random place in an image of `pre_crop_size`."""

from typing import Any

import tensorflow as tf


def augment(image: tf.Tensor, seed: tf.Tensor, params: Any) -> tf.Tensor:
    """(h, w, C) -> (*image_size, C)."""
    height, width = params.image_shape
    space = tf.shape(image)[:2] - [height, width]
    shares = tf.random.stateless_uniform([2], seed)
    corner = tf.cast(shares * tf.cast(space + 1, tf.float32), tf.int32)
    return tf.slice(image, [corner[0], corner[1], 0], [height, width, image.shape[2]])
