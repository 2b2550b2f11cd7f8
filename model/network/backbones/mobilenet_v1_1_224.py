"""MobileNetV1 (Howard et al. 2017), width 1.0, with the weights trained on images of 224 x 224."""

from typing import Any

import keras

from model.configuration.params import Params
from model.network.backbones._stages import with_last_stride

CHANNELS = 3
LAST_STRIDES = (1, 2)

# The last strided convolution. Keras has a separate layer for its padding; a stride of 1 needs one pixel on every side.
_WITHOUT_STRIDE: dict[str, dict[str, Any]] = {
    "conv_pad_12": {"padding": ((1, 1), (1, 1))},
    "conv_dw_12": {"strides": (1, 1)},
}


def preprocess(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """0 .. 255 to -1 .. 1."""
    return keras.applications.mobilenet.preprocess_input(pixels)


def stages(params: Params) -> dict[int, str]:
    """Stage s ends with the last separable convolution of its size (two lines each in the paper's table 1)."""
    ends = {1: 1, 2: 3, 3: 5, 4: 11, 5: 13}
    return {stage: f"conv_pw_{number}_relu" for stage, number in ends.items()}


def build(image_shape: tuple[int, int, int], params: Params, weights: str | None = None) -> keras.Model:
    """(H, W, 3) -> (H / 32, W / 32, 1024), or with `last_stride: 1` twice as many rows and columns."""
    network = keras.applications.MobileNet(include_top=False, weights=None, input_shape=image_shape, name="backbone")
    if weights:  # Keras has other weights for some image sizes
        trained = keras.applications.MobileNet(include_top=False, weights=weights, input_shape=(224, 224, 3))
        network.set_weights(trained.get_weights())
    return with_last_stride(network, params, _WITHOUT_STRIDE)
