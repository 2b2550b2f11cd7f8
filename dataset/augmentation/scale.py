"""Larger or smaller about the centre, alike in both directions."""

from typing import Any

import tensorflow as tf

from dataset.augmentation import _warping


def augment(image: tf.Tensor, seed: tf.Tensor, params: Any) -> tf.Tensor:
    """(H, W, C) -> (H, W, C), bilinear; the borders repeat the outermost pixels."""
    return _warping.warp(image, matrix(tf.shape(image)[:2], seed, params))


def matrix(shape: Any, seed: tf.Tensor, params: Any) -> tf.Tensor:
    """(3, 3) of `_warping.py`: a factor uniform in 1 - `scale_range` .. 1 + `scale_range`."""
    limit = params.scale_range
    return _warping.zoomed(tf.random.stateless_uniform([], seed, 1.0 - limit, 1.0 + limit))
