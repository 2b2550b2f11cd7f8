"""Grey levels computed as in Pillow: the grey of a colour, and the blend of two images.

Images here are (H, W, C) float32 with integer levels 0 .. 255. So several steps share one conversion.
"""

import tensorflow as tf

# ITU-R BT.601, rounded as in Pillow's convert("L"). Sums of levels with these weights are exact in float32.
_LUMA = (19595 / 65536, 38470 / 65536, 7471 / 65536)


def grey(image: tf.Tensor) -> tf.Tensor:
    """(H, W, C) -> (H, W, C): every channel is the pixel's grey. A grey image is returned unchanged."""
    if image.shape[-1] == 1:
        return image
    # A product with three equal columns is faster than a product with one column and a repetition of its result.
    return tf.floor(tf.tensordot(image, tf.constant([[weight] * 3 for weight in _LUMA]), 1) + 0.5)


def blend(first: tf.Tensor, second: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """first + factor (second - first), clipped to 0 .. 255 and rounded down (Pillow's `Image.blend`).

    A factor of 0 gives `first`, 1 gives `second`; above 1 it extrapolates.
    """
    blended = first + factor * (second - first)
    return tf.floor(tf.raw_ops.ClipByValue(t=blended, clip_value_min=0.0, clip_value_max=255.0))  # one pass, not two
