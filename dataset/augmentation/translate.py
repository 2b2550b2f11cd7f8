"""Moved sideways, up or down."""

from typing import Any

import tensorflow as tf

from dataset.augmentation import _warping


def augment(image: tf.Tensor, seed: tf.Tensor, params: Any) -> tf.Tensor:
    """(H, W, C) -> (H, W, C), bilinear; the borders repeat the outermost pixels."""
    return _warping.warp(image, matrix(tf.shape(image)[:2], seed, params))


def matrix(shape: Any, seed: tf.Tensor, params: Any) -> tf.Tensor:
    """(3, 3) of `_warping.py`: shifts uniform within `translate_range` of the height and of the width."""
    limit = params.translate_range
    down, right = tf.unstack(tf.random.stateless_uniform([2], seed, -limit, limit))
    height, width = (tf.cast(side, tf.float32) for side in (shape[0], shape[1]))
    return _warping.shifted(down * height, right * width)
