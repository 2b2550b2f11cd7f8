"""ResNet-101, version 1 (He et al. 2015)."""

from typing import Any

import keras

from model.network.backbones._resnet_v1 import build_resnet, resnet_stages

CHANNELS = 3
LAST_STRIDES = (1, 2)


def preprocess(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """RGB to BGR, minus the mean of ImageNet."""
    return keras.applications.resnet.preprocess_input(pixels)


def stages(params: Any) -> dict[int, str]:
    """As `resnet_stages` says."""
    return resnet_stages(23)


def build(image_shape: tuple[int, int, int], params: Any, weights: str | None = None) -> keras.Model:
    """(H, W, 3) -> (H / 32, W / 32, 2048), or with `last_stride: 1` twice as many rows and columns."""
    return build_resnet(keras.applications.ResNet101, image_shape, params, weights)
