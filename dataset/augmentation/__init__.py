"""Stateless augmentations of one training image, by name.

A module here is one augmentation. It defines

    augment(image, seed, params) -> image

with `image` (H, W, C) uint8, `seed` (2,) int32 from which all its randomness comes, and the run's parameters, where its
ranges are. Equal seeds give equal images: nothing has a state, so that a resumed run sees what it would have seen.
What it does with the drawn numbers is a function of its own, which the tests compare with Pillow and SciPy.

A module that moves pixels by an affine warp defines `matrix(shape, seed, params)` instead (see `_warping.py`): warps
that stand next to each other become one, so that pixels are interpolated once.
"""

from itertools import groupby
from typing import Any

import tensorflow as tf

from dataset.augmentation import _pool, _warping
from runtime import plugins


def for_training(params: Any) -> _pool.Augment:
    """One function (image, seed) -> image: the run's `augmentation`, then some of its `augmentation_pool`."""
    always = compose(params.augmentation, params)
    if not params.augmentation_pool:
        return always
    some = _pool.some_of([compose([name], params) for name in params.augmentation_pool], params.augmentation_pool_count)
    # The seeds of `augmentation` are numbered by its positions; the pool has the number after them.
    number = len(params.augmentation)
    return lambda image, seed: some(always(image, seed), tf.random.fold_in(seed, number))


def compose(names: list[str], params: Any) -> _pool.Augment:
    """One function (image, seed) -> image that applies the named augmentations in order, each with its own seed."""
    modules = [plugins.load("dataset.augmentation", name) for name in names]
    groups = [(warps, list(group)) for warps, group in groupby(enumerate(modules), lambda m: hasattr(m[1], "matrix"))]

    def augment(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        for warps, group in groups:
            seeds = [tf.random.fold_in(seed, position) for position, _ in group]
            if warps:
                shape = image.shape[:2] if image.shape[:2].is_fully_defined() else tf.shape(image)[:2]
                matrices = [module.matrix(shape, s, params) for (_, module), s in zip(group, seeds, strict=True)]
                image = _warping.warp(image, _warping.in_order(matrices))
            else:
                for (_, module), s in zip(group, seeds, strict=True):
                    image = module.augment(image, s, params)
        return image

    return augment
