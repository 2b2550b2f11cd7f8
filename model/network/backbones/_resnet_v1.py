"""What the ResNets of version 1 have in common."""

from collections.abc import Callable

import keras
import numpy as np

from model.configuration.params import Params
from model.network.backbones._stages import with_last_stride

CHANNELS = 3
IMAGENET_MEAN = np.array([103.939, 116.779, 123.68], np.float32)  # blue, green, red
LAST_STRIDES = (1, 2)

# The convolutions of the last stage with a stride: into its first block, and past it.
_STRIDED = ("conv5_block1_1_conv", "conv5_block1_0_conv")


def preprocess(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """RGB to BGR, minus the mean of ImageNet: as Keras has it, in operations that tf2onnx converts."""
    return pixels[..., ::-1] - IMAGENET_MEAN


def resnet_stages(blocks_of_conv4: int) -> dict[int, str]:
    """Stage s is conv<s> of the paper's table 1; of conv1, without the pooling that begins conv2."""
    blocks = {2: 3, 3: 4, 4: blocks_of_conv4, 5: 3}
    return {1: "conv1_relu"} | {stage: f"conv{stage}_block{count}_out" for stage, count in blocks.items()}


def build_resnet(
    constructor: Callable[..., keras.Model], image_shape: tuple[int, int, int], params: Params, weights: str | None
) -> keras.Model:
    """(H, W, 3) -> (H / 32, W / 32, 2048), or with `last_stride: 1` (H / 16, W / 16, 2048), sides rounded up."""
    network = constructor(include_top=False, weights=weights, input_shape=image_shape, name="backbone")
    return with_last_stride(network, params, {name: {"strides": (1, 1)} for name in _STRIDED})
