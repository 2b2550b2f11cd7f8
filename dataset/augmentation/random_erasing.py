"""A random rectangle painted over in some images (Zhong et al., Random Erasing Data Augmentation)."""

from typing import Any

import tensorflow as tf

# Sizes drawn at once; the first that fits into the image is used. At 256x128 and the default ranges, 1 in 19 does not.
_DRAWS = 16
# ImageNet's mean colour. Preprocessing maps it to about 0.
_MEAN = (124, 116, 104)
# Its brightness (ITU-R BT.601), for grey images.
_MEAN_GREY = (117,)


def augment(image: tf.Tensor, seed: tf.Tensor, params: Any) -> tf.Tensor:
    """(H, W, C) -> (H, W, C).

    With probability `erasing_probability`, a rectangle is painted with `erasing_fill`. Its area, as a fraction of H W,
    is uniform in `erasing_area`; its aspect, height / width, is uniform in `erasing_aspect`. Height = sqrt(area *
    aspect) and width = sqrt(area / aspect), rounded to whole pixels and at least 1 (algorithm 1 of the paper). A size
    that does not fit into the image is drawn again; if none of 16 fits, the image is unchanged. All places in the image
    are equally likely.
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

    space = [height, width] - erased + 1
    corner = tf.cast(tf.random.stateless_uniform([2], place) * tf.cast(space, tf.float32), tf.int32)
    chosen = fits[first] & (tf.random.stateless_uniform([], chance) < params.erasing_probability)
    return tf.cond(chosen, lambda: erase(image, corner, erased, noise, params.erasing_fill), lambda: image)


def erase(image: tf.Tensor, corner: tf.Tensor, size: tf.Tensor, seed: tf.Tensor, fill: str) -> tf.Tensor:
    """(H, W, C) -> (H, W, C): a rectangle of `size` (height, width) at `corner` (top, left) is painted over.

    Args:
        seed: random seed of the noise.
        fill: "noise" is a random value for each pixel and channel, "mean" is ImageNet's mean colour.
    """
    (top, left), (height, width), channels = tf.unstack(corner), tf.unstack(size), image.shape[2]
    if fill == "mean":
        colour = tf.constant(_MEAN if channels == 3 else _MEAN_GREY, image.dtype)
        patch = tf.broadcast_to(colour, [height, width, channels])
    else:
        values = tf.random.stateless_uniform([height, width, channels], seed, 0, 256, tf.int32)
        patch = tf.cast(values, image.dtype)
    # Concatenation copies whole rows: several times faster than a mask over all pixels.
    rows = image[top : top + height]
    middle = tf.concat([rows[:, :left], patch, rows[:, left + width :]], axis=1)
    return tf.ensure_shape(tf.concat([image[:top], middle, image[top + height :]], axis=0), image.shape)
