"""A rectangle somewhere painted over, in some of the images (Zhong et al., Random Erasing Data Augmentation)."""

from typing import Any

import tensorflow as tf

# Sizes drawn until one fits into the image, all at once: at 256x128 and the default ranges 1 in 19 does not.
_DRAWS = 16
# ImageNet's mean colour, which preprocessing takes to about 0: to the network, nothing.
_MEAN = (124, 116, 104)
# Its brightness (ITU-R BT.601), for grey images.
_MEAN_GREY = (117,)


def augment(image: tf.Tensor, seed: tf.Tensor, params: Any) -> tf.Tensor:
    """(H, W, C) -> (H, W, C).

    With probability `erasing_probability`, a rectangle whose area is uniform in `erasing_area` (of H W) and whose
    height by width is uniform in `erasing_aspect` is painted with `erasing_fill`: height = sqrt(area * aspect), width =
    sqrt(area / aspect), rounded to whole pixels and at least 1 (the paper's algorithm 1). A size that does not fit into
    the image is drawn again; if none of 16 fits, the image stays as it is. All places in the image are equally likely.
    """
    chance, sizes, place, noise = (tf.random.fold_in(seed, number) for number in range(4))
    height, width = tf.unstack(tf.shape(image)[:2])

    (least, most), (flattest, tallest) = params.erasing_area, params.erasing_aspect
    drawn = tf.random.stateless_uniform([2, _DRAWS], sizes)
    area = (least + (most - least) * drawn[0]) * tf.cast(height * width, tf.float32)
    aspect = flattest + (tallest - flattest) * drawn[1]
    heights, widths = (tf.maximum(tf.cast(tf.round(tf.sqrt(x)), tf.int32), 1) for x in (area * aspect, area / aspect))
    fits = (heights <= height) & (widths <= width)
    first = tf.argmax(fits)
    erased = tf.stack([heights[first], widths[first]])

    space = tf.cast([height, width] - erased + 1, tf.float32)
    corner = tf.cast(tf.random.stateless_uniform([2], place) * space, tf.int32)
    rows, columns = tf.range(height)[:, None], tf.range(width)[None]
    inside = (rows >= corner[0]) & (rows < corner[0] + erased[0])
    inside &= (columns >= corner[1]) & (columns < corner[1] + erased[1])  # (H, W)

    chosen = fits[first] & (tf.random.stateless_uniform([], chance) < params.erasing_probability)
    return tf.where(chosen & inside[:, :, None], _paint(image, noise, params.erasing_fill), image)


def _paint(image: tf.Tensor, seed: tf.Tensor, fill: str) -> tf.Tensor:
    """What a pixel becomes when it is erased: (H, W, C), or (C,) for all pixels alike."""
    if fill == "mean":
        return tf.constant(_MEAN if image.shape[2] == 3 else _MEAN_GREY, image.dtype)
    values = tf.random.stateless_uniform(tf.shape(image), seed, 0, 256, tf.int32)
    return tf.cast(values, image.dtype)
