"""Brightness, contrast, saturation and hue changed, in this order."""

from typing import Any

import tensorflow as tf

from dataset.augmentation._blending import blend, grey


def augment(image: tf.Tensor, seed: tf.Tensor, params: Any) -> tf.Tensor:
    """(H, W, C) -> (H, W, C).

    The factors of brightness, contrast and saturation are uniform in 1 - range .. 1 + range; the hue turns by a part of
    the colour circle that is uniform within its range to either side: `color_jitter_ranges` has all four. What has a
    range of 0 is left out.
    """
    ranges = params.color_jitter_ranges
    drawn = tf.unstack(tf.random.stateless_uniform([4], seed, -1.0, 1.0) * ranges)
    factors = [1.0 + number for number in drawn[:3]] + [drawn[3]]
    return jitter(image, *(factor if limit else None for factor, limit in zip(factors, ranges, strict=True)))


def jitter(
    image: tf.Tensor,
    brightness: tf.Tensor | None = None,
    contrast: tf.Tensor | None = None,
    saturation: tf.Tensor | None = None,
    hue: tf.Tensor | None = None,
) -> tf.Tensor:
    """(H, W, C) uint8 -> (H, W, C) uint8, with whole grey levels after each step.

    Args:
        image: with one channel it has neither saturation nor hue, which are then left out.
        brightness: factor of all levels (Pillow's `ImageEnhance.Brightness`).
        contrast: factor of the differences from the image's mean grey (`ImageEnhance.Contrast`).
        saturation: factor of the differences from each pixel's grey (`ImageEnhance.Color`).
        hue: part of the colour circle, -1 .. 1, by which each pixel's hue turns in HSV space. Computed in float32:
            Pillow itself has 255 hues, which is too coarse for a small turn.
    """
    colours = image.shape[-1] == 3
    levels = tf.cast(image, tf.float32)
    if brightness is not None:
        levels = tf.floor(tf.minimum(levels * brightness, 255.0))
    if contrast is not None:
        levels = blend(tf.floor(tf.reduce_mean(grey(levels)) + 0.5), levels, contrast)
    if saturation is not None and colours:
        levels = blend(grey(levels), levels, saturation)
    if hue is not None and colours:
        levels = tf.round(tf.raw_ops.AdjustHue(images=levels, delta=hue))
    return tf.saturate_cast(levels, tf.uint8)
