"""Code that the ResNets of version 1 share."""

from collections.abc import Callable

import keras
import numpy as np

from model.configuration.params import Params
from model.network.backbones._stages import with_last_stride

CHANNELS = 3
IMAGENET_MEAN = np.array([103.939, 116.779, 123.68], np.float32)  # blue, green, red
LAST_STRIDES = (1, 2)

# The strided convolutions of the last stage: in its first block, and in the shortcut around that block.
_STRIDED = ("conv5_block1_1_conv", "conv5_block1_0_conv")


def preprocess(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """RGB to BGR, minus the mean of ImageNet: the same as in Keras, but in operations that tf2onnx can convert."""
    return pixels[..., ::-1] - IMAGENET_MEAN


def resnet_stages(blocks_of_conv4: int) -> dict[int, str]:
    """Stage s is conv<s> in the paper's table 1; conv1 ends before the pooling that begins conv2."""
    blocks = {2: 3, 3: 4, 4: blocks_of_conv4, 5: 3}
    return {1: "conv1_relu"} | {stage: f"conv{stage}_block{count}_out" for stage, count in blocks.items()}


def build_resnet(
    constructor: Callable[..., keras.Model], image_shape: tuple[int, int, int], params: Params, weights: str | None
) -> keras.Model:
    """(H, W, 3) -> (H / 32, W / 32, 2048), or (H / 16, W / 16, 2048) with `last_stride: 1`; sides are rounded up."""
    network = constructor(include_top=False, weights=weights, input_shape=image_shape, name="backbone")
    return with_last_stride(network, params, {name: {"strides": (1, 1)} for name in _STRIDED})
