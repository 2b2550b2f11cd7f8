"""Rows moved sideways, in proportion to their distance from the centre."""

import math
from typing import Any

import tensorflow as tf

from dataset.augmentation import _warping


def matrix(shape: Any, seed: tf.Tensor, params: Any) -> tf.Tensor:
    """(3, 3) of `_warping.py`: an angle uniform within `shear_range` degrees to either side."""
    limit = math.radians(params.shear_range)
    return _warping.sheared(tf.random.stateless_uniform([], seed, -limit, limit))
