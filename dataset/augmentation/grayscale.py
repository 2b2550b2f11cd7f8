"""A random blend of the image with its grey version."""

from typing import Any

import tensorflow as tf

from dataset.augmentation import _blending


def augment(image: tf.Tensor, seed: tf.Tensor, params: Any) -> tf.Tensor:
    """(H, W, C) -> (H, W, C). The fraction of grey is uniform in `grayscale_range`; grey images are unchanged."""
    return blend_grey(image, tf.random.stateless_uniform([], seed, *params.grayscale_range))


def blend_grey(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """(H, W, C) uint8 -> (H, W, C) uint8: factor 0 changes nothing, 1 makes the image grey (ITU-R BT.601)."""
    if image.shape[-1] == 1:
        return image
    levels = tf.cast(image, tf.float32)
    return tf.cast(_blending.blend(levels, _blending.grey(levels), factor), tf.uint8)
