"""Stateless augmentations of one training image, by name.

A module here is one augmentation. It defines

    augment(image, seed, params) -> image

with `image` (H, W, C) uint8, `seed` (2,) int32 from which all its randomness comes, and the run's parameters, where its
ranges are. Equal seeds give equal images: nothing has a state, so that a resumed run sees what it would have seen.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from dataset import by_name


def compose(names: list[str], params: Any) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """One function (image, seed) -> image that applies the named augmentations in order, each with its own seed."""
    modules = [by_name.load("dataset.augmentation", name) for name in names]

    def augment(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        for position, module in enumerate(modules):
            image = module.augment(image, tf.random.fold_in(seed, position), params)
        return image

    return augment
