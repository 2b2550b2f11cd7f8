"""ResNet-101, version 1 (He et al. 2015)."""

import keras

from model.configuration.params import Params
from model.network.backbones._resnet_v1 import CHANNELS, LAST_STRIDES, build_resnet, preprocess, resnet_stages

__all__ = ["CHANNELS", "LAST_STRIDES", "build", "preprocess", "stages"]


def stages(params: Params) -> dict[int, str]:
    """See `resnet_stages`."""
    return resnet_stages(23)


def build(image_shape: tuple[int, int, int], params: Params, weights: str | None = None) -> keras.Model:
    """(H, W, 3) -> (H / 32, W / 32, 2048), or with `last_stride: 1` twice as many rows and columns."""
    return build_resnet(keras.applications.ResNet101, image_shape, params, weights)
