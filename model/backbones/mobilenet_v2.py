"""MobileNetV2 (Sandler et al. 2018), width 1.0."""

from typing import Any

import keras

CHANNELS = 3


def preprocess(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """0 .. 255 to -1 .. 1."""
    return keras.applications.mobilenet_v2.preprocess_input(pixels)


def build(image_shape: tuple[int, int, int], params: Any, weights: str | None = None) -> keras.Model:
    """(H, W, 3) -> (H / 32, W / 32, 1280)."""
    return keras.applications.MobileNetV2(include_top=False, weights=weights, input_shape=image_shape, name="backbone")
