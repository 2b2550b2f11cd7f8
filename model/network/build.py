"""Builds preprocessing, backbone and head as one Keras model that takes uint8 images."""

import contextlib
from collections.abc import Iterator
from types import ModuleType
from typing import NamedTuple

import keras
import tensorflow as tf

from model import keras_settings
from model.configuration.params import Params
from model.network import batch_norm
from model.network.backbones._stages import check_stage, freeze_stages, up_to_stage
from model.network.heads import HeadOutputs
from model.network.recomputation import recomputed, split
from runtime import plugins
from runtime.errors import UserError


class Network(NamedTuple):
    """The network of a run, for use and for training: the same layers, with different outputs.

    Attributes:
        embedder: (B, H, W, C) uint8 -> (B, D) float32. Its layers "backbone" and "head" are models, which can be saved
            and loaded separately. Together they have all the weights.
        trunk: (B, H, W, C) uint8 -> (B, h, w, F): preprocessing and backbone.
        training: images to the inputs of the triplet loss and of the classifier; None if both are the embedding.
        classified_size: the width of the input of the classifier of identities.
        classifier_batch_norm: whether the classifier begins with its own batch norm.
        parts: of the trunk, if activations are recomputed for the gradient.
    """

    embedder: keras.Model
    trunk: keras.Model
    training: keras.Model | None
    classified_size: int
    classifier_batch_norm: bool
    parts: list[keras.Model]

    def in_training(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The inputs of the triplet loss (B, D) and of the classifier (B, C); the same tensor for most heads."""
        return self.of_features(self.features(images))

    def features(self, images: tf.Tensor) -> tf.Tensor:
        """The output of the trunk in training: (B, h, w, F)."""
        if not self.parts:
            return self.trunk(images, training=True)
        for part in self.parts:
            images = recomputed(part, images)
        return images

    def of_features(self, features: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """What `in_training` returns, given the features."""
        if self.training is None:
            embeddings = self.embedder.get_layer("head")(features, training=True)
            return embeddings, embeddings
        triplet, classified = self.training.get_layer("head_in_training")(features, training=True)
        return triplet, classified


def build_embedder(params: Params, *, synchronized: bool = False, imagenet: bool = False) -> keras.Model:
    """Only the embedder of `build_network`: (B, H, W, C) uint8 -> (B, D) float32."""
    return build_network(params, synchronized=synchronized, imagenet=imagenet).embedder


def build_network(params: Params, *, synchronized: bool = False, imagenet: bool = False) -> Network:
    """The network of a run, with random weights. Keras's global settings do not change.

    Args:
        params: model_type, last_stride, backbone_stage, frozen_stages, batch_norm, head, embedding_size, image_size,
            image_channels, precision and the network's own.
        synchronized: batch norm takes its statistics over all replicas.
        imagenet: start from the backbone's ImageNet weights, which Keras downloads.

    Raises:
        UserError: when the images are too small for the backbone, the backbone does not support `last_stride` or
            `backbone_stage`, ImageNet weights do not exist or cannot be downloaded, or the head cannot make vectors of
            `embedding_size`.
    """
    module = plugins.load("model.network.backbones", params.model_type)
    if params.last_stride not in getattr(module, "LAST_STRIDES", (2,)):
        names = plugins.choices("model.network.backbones")
        able = [name for name in names if hasattr(plugins.load("model.network.backbones", name), "LAST_STRIDES")]
        raise UserError(
            f"last_stride is {params.last_stride}, but {params.model_type!r} does not support it; drop it, or use one "
            f"of these model_types: {', '.join(able)}"
        )
    stages = module.stages(params)
    check_stage(params, stages)
    with keras_settings.needed(), _precision(params.precision):
        return _build(module, stages, params, synchronized, imagenet)


@contextlib.contextmanager
def _precision(policy: str) -> Iterator[None]:
    """Layers made in the block compute with this dtype policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _build(module: ModuleType, stages: dict[int, str], params: Params, synchronized: bool, imagenet: bool) -> Network:
    head = plugins.load("model.network.heads", params.head).head
    images = keras.Input((*params.image_shape, params.image_channels), dtype="uint8", name="images")
    pixels = keras.ops.cast(images, "float32")  # (B, H, W, C)
    channels = module.CHANNELS or params.image_channels
    if channels != params.image_channels:
        pixels = keras.ops.repeat(pixels, channels, axis=-1)  # grey images for a network that takes colour
    pixels = module.preprocess(pixels) if params.preprocess else pixels / 255.0

    shape = (*params.image_shape, channels)
    try:
        backbone = _with_imagenet(module, shape, params) if imagenet else module.build(shape, params)
    except ValueError as error:
        raise UserError(f"{params.model_type} with image_size {params.image_size}: {error}") from error
    backbone = up_to_stage(backbone, params, stages)
    freeze_stages(backbone, params, stages)
    for layer in backbone.layers if params.batch_norm == "frozen" else ():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False  # Keras then uses the moving statistics in training, too
    features = backbone(pixels)  # (B, h, w, F)

    head_input = keras.Input(features.shape[1:], dtype=features.dtype)
    outputs = head(head_input, params)
    if not isinstance(outputs, HeadOutputs):
        outputs = HeadOutputs(outputs, triplet=outputs, classified=outputs)
    head_model = keras.Model(head_input, outputs.embedding, name="head")
    if synchronized:
        # With micro-batches, each has the statistics of its own.
        for layer in [*([] if params.micro_batch else backbone.layers), *head_model.layers]:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True
    for part in (backbone, head_model):
        batch_norm.fuse(part)
    embedder = keras.Model(images, head_model(features), name="embedder")
    training = None
    if outputs.triplet is not outputs.embedding or outputs.classified is not outputs.embedding:
        in_training = keras.Model(head_input, [outputs.triplet, outputs.classified], name="head_in_training")
        training = keras.Model(images, in_training(features), name="training")
        if {id(weight) for weight in training.weights} - {id(weight) for weight in embedder.weights}:
            raise ValueError(f"head {params.head!r} has weights that do not affect the embedding")
    trunk, classified_size = keras.Model(images, features), outputs.classified.shape[-1]
    parts = [keras.Model(images, pixels), *split(backbone)] if params.recompute else []
    return Network(embedder, trunk, training, classified_size, outputs.classifier_batch_norm, parts)


def _with_imagenet(module: ModuleType, shape: tuple[int, int, int], params: Params) -> keras.Model:
    if module.CHANNELS is None:
        what = f"there are no ImageNet weights for {params.model_type!r}"
        raise UserError(f"warm_start_from is 'imagenet', but {what}; set it to null, a run, or a weights file")
    try:
        return module.build(shape, params, weights="imagenet")
    except ValueError:  # the images are too small
        raise
    except Exception as error:  # Keras's downloader may raise anything
        remedy = "download the file on another machine and set warm_start_from to its path"
        raise UserError(
            f"the ImageNet weights of {params.model_type} cannot be downloaded ({error}); {remedy}"
        ) from error
