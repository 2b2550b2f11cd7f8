"""Some of several augmentations for each image, in random order (imgaug's `SomeOf(..., random_order=True)`)."""

from collections.abc import Callable, Sequence

import tensorflow as tf

Augment = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def some_of(augmentations: Sequence[Augment], count: Sequence[int]) -> Augment:
    """One function (image, seed) -> image that applies n of them, none twice; only those are computed.

    n is uniform over the integers count[0] .. count[1], and every choice and order of n is equally likely. Images keep
    their shape.
    """
    low, high = count

    def augment(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        seeds = tf.random.split(seed, high + 2)  # one for each that is applied, of the count, of the order
        number = tf.random.stateless_uniform([], seeds[high], low, high + 1, tf.int32)
        order = tf.argsort(tf.random.stateless_uniform([len(augmentations)], seeds[high + 1]))

        def apply(turn: tf.Tensor, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            branches = [lambda one=one: one(image, seeds[turn]) for one in augmentations]
            return turn + 1, tf.ensure_shape(tf.switch_case(order[turn], branches), image.shape)

        return tf.while_loop(lambda turn, _: turn < number, apply, (tf.constant(0), image))[1]

    return augment
