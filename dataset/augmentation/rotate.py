"""A random rotation about the centre."""

import math
from typing import Any

import tensorflow as tf

from dataset.augmentation import _warping


def matrix(shape: Any, seed: tf.Tensor, params: Any) -> tf.Tensor:
    """The (3, 3) matrix (see `_warping.py`) of an angle uniform in -`rotate_range` .. `rotate_range` degrees."""
    limit = math.radians(params.rotate_range)
    return _warping.turned(tf.random.stateless_uniform([], seed, -limit, limit))
