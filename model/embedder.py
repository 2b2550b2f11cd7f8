"""Preprocessing, backbone and head as one Keras model that takes uint8 images."""

from types import ModuleType

import keras

from dataset import by_name
from dataset.errors import UserError
from model.params import Params


def build_embedder(params: Params, *, synchronized: bool = False, imagenet: bool = False) -> keras.Model:
    """The network of a run: (B, H, W, C) uint8 -> (B, D) float32.

    Its layers "backbone" and "head" are models of their own, so that each can be saved and loaded alone.

    Args:
        params: model_type, head, embedding_size, image_size, image_channels, precision and the network's own.
        synchronized: let batch norm take its statistics over all replicas.
        imagenet: start with the backbone's ImageNet weights, downloaded by Keras.

    Raises:
        UserError: when the images are too small for the backbone, there are no such weights, or they cannot be had.
    """
    module = by_name.load("model.backbones", params.model_type)
    head = by_name.load("model.heads", params.head).head
    keras.utils.set_random_seed(params.seed)
    keras.config.set_dtype_policy(params.precision)

    images = keras.Input((*params.image_shape, params.image_channels), dtype="uint8", name="images")
    pixels = keras.ops.cast(images, "float32")  # (B, H, W, C)
    channels = module.CHANNELS or params.image_channels
    if channels != params.image_channels:
        pixels = keras.ops.repeat(pixels, channels, axis=-1)  # grey into a network of colour images
    pixels = module.preprocess(pixels) if params.preprocess else pixels / 255.0

    shape = (*params.image_shape, channels)
    try:
        backbone = _with_imagenet(module, shape, params) if imagenet else module.build(shape, params)
    except ValueError as error:
        raise UserError(f"{params.model_type} with image_size {params.image_size}: {error}") from error
    features = backbone(pixels)  # (B, h, w, F)

    head_input = keras.Input(features.shape[1:], dtype=features.dtype)
    head_model = keras.Model(head_input, head(head_input, params), name="head")
    if synchronized:
        for layer in [*backbone.layers, *head_model.layers]:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True
    return keras.Model(images, head_model(features), name="embedder")


def _with_imagenet(module: ModuleType, shape: tuple[int, int, int], params: Params) -> keras.Model:
    if module.CHANNELS is None:
        raise UserError(f"warm_start_from is 'imagenet', but there are no ImageNet weights for {params.model_type!r}")
    try:
        return module.build(shape, params, weights="imagenet")
    except ValueError:  # the images are too small
        raise
    except Exception as error:  # Keras lets through whatever its downloader raises
        remedy = "download the file elsewhere and give its path as warm_start_from"
        raise UserError(f"the ImageNet weights of {params.model_type} cannot be had ({error}); {remedy}") from error
