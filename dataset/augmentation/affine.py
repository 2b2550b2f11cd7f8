"""One affine warp about the centre: zoom, shift, rotation and shear, each uniform within its range."""

import math
from typing import Any

import tensorflow as tf


def augment(image: tf.Tensor, seed: tf.Tensor, params: Any) -> tf.Tensor:
    """(H, W, C) -> (H, W, C), bilinear; the borders repeat the outermost pixels.

    The ranges are `scale_range` and `translate_range` (fractions), `rotate_range` and `shear_range` (degrees).
    """
    radians = math.pi / 180
    limits = [params.scale_range, params.rotate_range * radians, params.shear_range * radians]
    limits += [params.translate_range, params.translate_range]
    zoom, angle, shear, down, right = tf.unstack(tf.random.stateless_uniform([5], seed, -1.0, 1.0) * limits)
    height, width = tf.unstack(tf.cast(tf.shape(image)[:2], tf.float32))

    # The output pixel (x, y), measured from the centre, shows the input at A (x, y) + shift.
    scale = 1.0 / (1.0 + zoom)
    cos, sin, tan = tf.cos(angle), tf.sin(angle), tf.tan(shear)
    a, b = scale * cos, scale * (cos * tan - sin)
    c, d = scale * sin, scale * (sin * tan + cos)
    center_x, center_y = (width - 1) / 2, (height - 1) / 2
    shift_x = center_x - a * center_x - b * center_y + right * width
    shift_y = center_y - c * center_x - d * center_y + down * height
    transform = tf.stack([a, b, shift_x, c, d, shift_y, 0.0, 0.0])

    warped = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(image, tf.float32)[None],
        transforms=transform[None],
        output_shape=tf.shape(image)[:2],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )[0]
    warped.set_shape(image.shape)
    return tf.saturate_cast(tf.round(warped), tf.uint8)
