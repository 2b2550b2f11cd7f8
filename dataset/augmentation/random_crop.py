"""A window at a random place, as large in the image as `image_size` is in `pre_crop_size`."""

from typing import Any

import tensorflow as tf

from dataset import images


def augment(image: tf.Tensor, seed: tf.Tensor, params: Any) -> tf.Tensor:
    """(h, w, C) -> (*image_size, C): the window, resized. All places in whole pixels are equally likely."""
    shape, share = tf.shape(image)[:2], [a / b for a, b in zip(params.image_shape, params.pre_crop_shape, strict=True)]
    size = tf.maximum(tf.cast(tf.cast(shape, tf.float32) * share + 0.5, tf.int32), 1)
    space = tf.cast(shape - size + 1, tf.float32)
    corner = tf.cast(tf.random.stateless_uniform([2], seed) * space, tf.int32)
    window = tf.slice(image, tf.pad(corner, [[0, 1]]), tf.concat([size, [-1]], 0))
    return tf.ensure_shape(images.resize(window, params.image_shape), [*params.image_shape, image.shape[2]])
