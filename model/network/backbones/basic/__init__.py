"""A small convnet to train from scratch: each block has a 3x3 convolution, batch norm, ReLU and 2x2 max pooling.

>>> from model.configuration.params import Params
>>> from model.network.backbones import basic
>>> basic.build((64, 64, 3), Params(dataset="photos", num_channels=[16, 32])).output_shape
(None, 16, 16, 32)
"""

import keras

from model.configuration.params import Params

CHANNELS = None


def preprocess(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """0 .. 255 to -1 .. 1."""
    return pixels / 127.5 - 1.0


def stages(params: Params) -> dict[int, str]:
    """Stage s is the s-th block, including its pooling."""
    return {block + 1: f"pool_{block}" for block in range(len(_channels(params)))}


def build(image_shape: tuple[int, int, int], params: Params) -> keras.Model:
    """(H, W, C) -> (H / 2^blocks, W / 2^blocks, channels of the last block), sides rounded up."""
    inputs = x = keras.Input(image_shape)
    for block, width in enumerate(_channels(params)):
        # Batch norm has its own bias.
        x = keras.layers.Conv2D(width, 3, padding="same", use_bias=not params.use_batch_norm, name=f"conv_{block}")(x)
        if params.use_batch_norm:
            x = keras.layers.BatchNormalization(momentum=params.bn_momentum, name=f"batch_norm_{block}")(x)
        x = keras.layers.ReLU(name=f"relu_{block}")(x)
        x = keras.layers.MaxPooling2D(2, padding="same", name=f"pool_{block}")(x)
    return keras.Model(inputs, x, name="backbone")


def _channels(params: Params) -> list[int]:
    channels = params.num_channels
    return [channels, 2 * channels, 4 * channels, 8 * channels] if isinstance(channels, int) else channels
