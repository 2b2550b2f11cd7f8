"""Random changes of brightness, contrast, saturation and hue, in this order."""

from typing import Any

import tensorflow as tf

from dataset.augmentation._blending import blend, grey


def augment(image: tf.Tensor, seed: tf.Tensor, params: Any) -> tf.Tensor:
    """(H, W, C) -> (H, W, C).

    `color_jitter_ranges` has four ranges. The factors of brightness, contrast and saturation are uniform in
    1 - range .. 1 + range. The hue turns by a fraction of the colour circle, uniform in -range .. range. A range of 0
    skips the step.
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
    """(H, W, C) uint8 -> (H, W, C) uint8, with integer levels after each step.

    Args:
        image: with one channel, saturation and hue are skipped.
        brightness: factor of all levels (Pillow's `ImageEnhance.Brightness`).
        contrast: factor of the differences from the image's mean grey (`ImageEnhance.Contrast`).
        saturation: factor of the differences from each pixel's grey (`ImageEnhance.Color`).
        hue: fraction of the colour circle, -1 .. 1, by which each pixel's hue turns in HSV space. It is computed in
            float32: Pillow's 255 hues are too coarse for small turns.
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
