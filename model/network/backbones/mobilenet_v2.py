"""MobileNetV2 (Sandler et al. 2018), width 1.0."""

from typing import Any

import keras

from model.configuration.params import Params
from model.network.backbones._stages import with_last_stride

CHANNELS = 3
LAST_STRIDES = (1, 2)

# The last strided convolution. Keras has a separate layer for its padding; a stride of 1 needs one pixel on every side.
_WITHOUT_STRIDE: dict[str, dict[str, Any]] = {
    "block_13_pad": {"padding": ((1, 1), (1, 1))},
    "block_13_depthwise": {"strides": (1, 1)},
}


def preprocess(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """0 .. 255 to -1 .. 1."""
    return keras.applications.mobilenet_v2.preprocess_input(pixels)


def stages(params: Params) -> dict[int, str]:
    """Stage s ends with the last bottleneck of its size, before the next one expands it; the last ends the network."""
    return {1: "expanded_conv_project_BN", 2: "block_2_add", 3: "block_5_add", 4: "block_12_add", 5: "out_relu"}


def build(image_shape: tuple[int, int, int], params: Params, weights: str | None = None) -> keras.Model:
    """(H, W, 3) -> (H / 32, W / 32, 1280), or with `last_stride: 1` twice as many rows and columns."""
    network = keras.applications.MobileNetV2(
        include_top=False, weights=weights, input_shape=image_shape, name="backbone"
    )
    return with_last_stride(network, params, _WITHOUT_STRIDE)
