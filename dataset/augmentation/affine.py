"""One affine warp about the centre: `translate`, `rotate`, `shear` and `scale`, in this order."""

import math
from typing import Any

import tensorflow as tf

from dataset.augmentation import _warping


def matrix(shape: Any, seed: tf.Tensor, params: Any) -> tf.Tensor:
    """The (3, 3) matrix (see `_warping.py`) for an image of shape (height, width); each number is uniform in its range.

    The ranges are `scale_range` and `translate_range` (fractions), `rotate_range` and `shear_range` (degrees).
    """
    radians = math.pi / 180
    limits = [params.scale_range, params.rotate_range * radians, params.shear_range * radians]
    limits += [params.translate_range, params.translate_range]
    zoom, angle, shear, down, right = tf.unstack(tf.random.stateless_uniform([5], seed, -1.0, 1.0) * limits)
    height, width = (tf.cast(side, tf.float32) for side in (shape[0], shape[1]))
    shift = _warping.shifted(down * height, right * width)
    return _warping.in_order([shift, _warping.turned(angle), _warping.sheared(shear), _warping.zoomed(1.0 + zoom)])
