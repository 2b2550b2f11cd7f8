"""A window of random size, shape and place, resized to `image_size` (Szegedy et al., Going Deeper with Convolutions).

It is drawn as in torchvision's RandomResizedCrop, except that its aspect is relative to the image's aspect: a range
around 1 suits images that are not square too.
"""

import math
from typing import Any

import tensorflow as tf

from dataset import images

# Sizes drawn at once; the first that fits into the image is used.
_DRAWS = 10


def augment(image: tf.Tensor, seed: tf.Tensor, params: Any) -> tf.Tensor:
    """(h, w, C) -> (*image_size, C)."""
    return crop_and_resize(image, draw_box(tf.shape(image)[:2], seed, params), params.image_shape)


def draw_box(shape: tf.Tensor, seed: tf.Tensor, params: Any) -> tf.Tensor:
    """(4,) int32 top, left, height, width of a window in an image of shape (2,) height, width.

    Its area, as a fraction of the image's area, is uniform in `resized_crop_area`. Its aspect, width / height divided
    by that of the image, is log-uniform in `resized_crop_aspect`. Both sides are rounded to whole pixels. A size that
    does not fit into the image is drawn again; if none of 10 fits, the window is the largest centred one with an aspect
    in the range. All places in the image are equally likely.
    """
    sizes, place = (tf.random.fold_in(seed, number) for number in range(2))
    (least, most), (narrow, wide) = params.resized_crop_area, params.resized_crop_aspect
    drawn = tf.random.stateless_uniform([2, _DRAWS], sizes)
    area = least + (most - least) * drawn[0]
    aspect = tf.exp(math.log(narrow) + (math.log(wide) - math.log(narrow)) * drawn[1])
    shares = tf.sqrt(tf.stack([area / aspect, area * aspect], axis=1))  # (10, 2) of the height and of the width
    sides = tf.cast(tf.round(shares * tf.cast(shape, tf.float32)), tf.int32)
    fits = tf.reduce_all((sides >= 1) & (sides <= shape), axis=1)
    first = tf.argmax(fits)

    largest = tf.constant([min(1.0, 1.0 / narrow), min(1.0, wide)])
    fallback = tf.maximum(tf.cast(tf.round(largest * tf.cast(shape, tf.float32)), tf.int32), 1)
    side = tf.where(fits[first], sides[first], fallback)
    space = shape - side
    anywhere = tf.cast(tf.random.stateless_uniform([2], place) * tf.cast(space + 1, tf.float32), tf.int32)
    # If the drawn number is close to 1 and `space` is large, the product may be rounded up to space + 1.
    corner = tf.where(fits[first], tf.minimum(anywhere, space), space // 2)
    return tf.concat([corner, side], axis=0)


def crop_and_resize(image: tf.Tensor, box: tf.Tensor, shape: tuple[int, int]) -> tf.Tensor:
    """(h, w, C) uint8 -> (*shape, C) uint8: the window `box` (top, left, height, width), then `dataset.images.resize`.

    Pixels outside the window have no influence, as in Pillow's `crop` and `resize`.
    """
    window = tf.slice(image, [box[0], box[1], 0], [box[2], box[3], image.shape[2]])
    return tf.ensure_shape(images.resize(window, shape), [*shape, image.shape[2]])
