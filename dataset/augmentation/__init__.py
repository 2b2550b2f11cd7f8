"""Stateless augmentations of one training image, by name.

Each module here is one augmentation. It defines

    augment(image, seed, params) -> image

with `image` (H, W, C) uint8, `seed` (2,) int32, its only source of randomness, and the run's parameters, which hold its
ranges. Equal seeds give equal images. Nothing has a state, so a resumed run sees the same images as an uninterrupted
one. A second function takes the drawn numbers and changes the image; tests compare it with Pillow and SciPy.

A module that moves pixels by an affine warp defines `matrix(shape, seed, params)` instead (see `_warping.py`).
Consecutive warps are combined into one, so pixels are interpolated only once.

>>> import tensorflow as tf
>>> from dataset.augmentation import horizontal_flip
>>> image = tf.constant([[[10], [20], [30]]], tf.uint8)  # one row of three grey pixels
>>> horizontal_flip.mirror(image)[0, :, 0].numpy().tolist()
[30, 20, 10]
"""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import tensorflow as tf

from dataset.augmentation import _warping
from runtime import plugins

Augment = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # (image, seed) -> image


def for_training(params: Any) -> Augment:
    """A function (image, seed) -> image: the run's `augmentation`, then some of its `augmentation_pool`."""
    always = compose(params.augmentation, params)
    if not params.augmentation_pool:
        return always
    some = some_of([compose([name], params) for name in params.augmentation_pool], params.augmentation_pool_count)
    # The seeds of `augmentation` are numbered by position; the pool has the next number.
    number = len(params.augmentation)
    return lambda image, seed: some(always(image, seed), tf.random.fold_in(seed, number))


def compose(names: list[str], params: Any) -> Augment:
    """A function (image, seed) -> image that applies the named augmentations in order, each with its own seed."""
    modules = [plugins.load("dataset.augmentation", name) for name in names]
    groups = [(warps, list(group)) for warps, group in groupby(enumerate(modules), lambda m: hasattr(m[1], "matrix"))]

    def augment(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        for warps, group in groups:
            # The generator mixes the bits of its seed, so neighbours are independent, at less cost than `fold_in`.
            seeds = [tf.add(seed, [0, position]) if position else seed for position, _ in group]
            if warps:
                shape = image.shape[:2] if image.shape[:2].is_fully_defined() else tf.shape(image)[:2]
                matrices = [module.matrix(shape, s, params) for (_, module), s in zip(group, seeds, strict=True)]
                image = _warping.warp(image, _warping.in_order(matrices))
            else:
                for (_, module), s in zip(group, seeds, strict=True):
                    image = module.augment(image, s, params)
        return image

    return augment


def some_of(augmentations: Sequence[Augment], count: Sequence[int]) -> Augment:
    """A function (image, seed) -> image that applies n different augmentations in random order.

    It is imgaug's `SomeOf(..., random_order=True)`. n is uniform over the integers count[0] .. count[1]; all choices
    and orders of n are equally likely. Only the n chosen ones are computed. Images keep their shape.
    """
    low, high = count

    def augment(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        seeds = tf.random.split(seed, high + 2)  # one per applied augmentation, one for the count, one for the order
        number = tf.random.stateless_uniform([], seeds[high], low, high + 1, tf.int32)
        order = tf.argsort(tf.random.stateless_uniform([len(augmentations)], seeds[high + 1]))

        def apply(turn: tf.Tensor, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            branches = [lambda one=one: one(image, seeds[turn]) for one in augmentations]
            return turn + 1, tf.ensure_shape(tf.switch_case(order[turn], branches), image.shape)

        return tf.while_loop(lambda turn, _: turn < number, apply, (tf.constant(0), image))[1]

    return augment
