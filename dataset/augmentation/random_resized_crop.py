"""A window of random size, shape and place, resized to `image_size` (Szegedy et al., Going Deeper with Convolutions).

Drawn as torchvision's RandomResizedCrop does, but its shape is relative to that of the image, so that a range about 1
suits images that are not square.
"""

import math
from typing import Any

import tensorflow as tf

from dataset import images

# Sizes drawn until one fits into the image, all at once.
_DRAWS = 10


def augment(image: tf.Tensor, seed: tf.Tensor, params: Any) -> tf.Tensor:
    """(h, w, C) -> (*image_size, C)."""
    return crop_and_resize(image, draw_box(tf.shape(image)[:2], seed, params), params.image_shape)


def draw_box(shape: tf.Tensor, seed: tf.Tensor, params: Any) -> tf.Tensor:
    """(4,) int32 top, left, height, width of a window in an image of shape (2,) height, width.

    Its area is uniform in `resized_crop_area` (of the image's); its width by height, divided by the image's, is uniform
    in its logarithm in `resized_crop_aspect`. Both sides are rounded to whole pixels. A size that does not fit into the
    image is drawn again; if none of 10 fits, the window is the largest in the centre whose shape is in the range. All
    places in the image are equally likely.
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
    # Where there is hardly less than 1 drawn and much space, the product may be rounded up to the end.
    corner = tf.where(fits[first], tf.minimum(anywhere, space), space // 2)
    return tf.concat([corner, side], axis=0)


def crop_and_resize(image: tf.Tensor, box: tf.Tensor, shape: tuple[int, int]) -> tf.Tensor:
    """(h, w, C) uint8 -> (*shape, C) uint8: the window `box` (top, left, height, width), then `dataset.images.resize`.

    The pixels around the window play no part, as with Pillow's `crop` and `resize`.
    """
    window = tf.slice(image, [box[0], box[1], 0], [box[2], box[3], image.shape[2]])
    return tf.ensure_shape(images.resize(window, shape), [*shape, image.shape[2]])
