"""A random shear: rows move sideways in proportion to their distance from the centre."""

import math
from typing import Any

import tensorflow as tf

from dataset.augmentation import _warping


def matrix(shape: Any, seed: tf.Tensor, params: Any) -> tf.Tensor:
    """The (3, 3) matrix (see `_warping.py`) of an angle uniform in -`shear_range` .. `shear_range` degrees."""
    limit = math.radians(params.shear_range)
    return _warping.sheared(tf.random.stateless_uniform([], seed, -limit, limit))
