"""A random zoom about the centre, equal in both directions."""

from typing import Any

import tensorflow as tf

from dataset.augmentation import _warping


def matrix(shape: Any, seed: tf.Tensor, params: Any) -> tf.Tensor:
    """The (3, 3) matrix (see `_warping.py`) of a factor uniform in 1 - `scale_range` .. 1 + `scale_range`."""
    limit = params.scale_range
    return _warping.zoomed(tf.random.stateless_uniform([], seed, 1.0 - limit, 1.0 + limit))
