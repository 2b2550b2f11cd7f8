"""A random shift, sideways and up or down."""

from typing import Any

import tensorflow as tf

from dataset.augmentation import _warping


def matrix(shape: Any, seed: tf.Tensor, params: Any) -> tf.Tensor:
    """The (3, 3) matrix (see `_warping.py`) of shifts uniform within +-`translate_range` of the height and width."""
    limit = params.translate_range
    down, right = tf.unstack(tf.random.stateless_uniform([2], seed, -limit, limit))
    height, width = (tf.cast(side, tf.float32) for side in (shape[0], shape[1]))
    return _warping.shifted(down * height, right * width)
