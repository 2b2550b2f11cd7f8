"""Inception-ResNet-V2 (Szegedy et al. 2016)."""

import keras

from model.configuration.params import Params

CHANNELS = 3


def preprocess(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """0 .. 255 to -1 .. 1."""
    return keras.applications.inception_resnet_v2.preprocess_input(pixels)


def stages(params: Params) -> dict[int, str]:
    """The ends of the three sequences of Inception-ResNet blocks. The stem before them is no stage."""
    return {3: "block35_10_ac", 4: "block17_20_ac", 5: "conv_7b_ac"}


def build(image_shape: tuple[int, int, int], params: Params, weights: str | None = None) -> keras.Model:
    """(H, W, 3) -> (about H / 32, W / 32, 1536)."""
    return keras.applications.InceptionResNetV2(
        include_top=False, weights=weights, input_shape=image_shape, name="backbone"
    )
