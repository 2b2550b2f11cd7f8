"""ResNet-101, version 1 (He et al. 2015)."""

from typing import Any

import keras

CHANNELS = 3


def preprocess(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """RGB to BGR, minus the mean of ImageNet."""
    return keras.applications.resnet.preprocess_input(pixels)


def build(image_shape: tuple[int, int, int], params: Any, weights: str | None = None) -> keras.Model:
    """(H, W, 3) -> (H / 32, W / 32, 2048)."""
    return keras.applications.ResNet101(include_top=False, weights=weights, input_shape=image_shape, name="backbone")
