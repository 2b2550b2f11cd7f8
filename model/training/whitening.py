"""`whitening`: the head's linear layers as a whitening of the pooled features of the training images."""

import keras
import numpy as np
import tensorflow as tf

from dataset.loading.checked import CheckedImages
from dataset.loading.pipeline import embedding_batches
from model.configuration.params import Params
from model.network.build import Network
from runtime.errors import UserError

# Enough for the covariance of some thousand features; of a larger data set, images evenly spaced in its list.
MOST_IMAGES = 20_000
# Added to the variances, as a share of the largest one: directions that hardly vary are noise, and stay small.
_FLOOR = 1e-3


def check_whitening(network: Network, params: Params) -> None:
    """Raises a UserError when a linear layer has more outputs than inputs: before hours are spent."""
    for layer in _linear_layers(network):
        width = layer.input.shape[1]
        if layer.units > width:
            raise UserError(
                f"whitening: embedding_size {params.embedding_size} asks for {layer.units} dimensions of {width} "
                f"pooled features; lower it, or drop whitening"
            )


def whiten(network: Network, params: Params, images: CheckedImages) -> str:
    """Sets the linear layers that see pooled features, as the backbone now makes them; gives a sentence on it.

    With m and C the mean and the covariance of the features x of the training images, the layer gives
    (L + c)^(-1/2) V^T (x - m), where L and V are the D largest eigenvalues of C and their vectors (Jegou and Chum,
    Negative Evidences and Co-occurrences in Image Retrieval: the Benefit of PCA and Whitening). Orthogonal layers keep
    the distances of the features instead, in which a few directions that all images share count for most; layers that
    were trained on few identities suit those, and may do worse on others than the features that they see.

    Raises:
        UserError: when an image is broken.
    """
    layers = _linear_layers(network)
    pooling = keras.Model(network.embedder.get_layer("head").input, [layer.input for layer in layers])

    @tf.function
    def pooled(batch: tf.Tensor) -> list[tf.Tensor]:
        return tf.nest.flatten(pooling(network.trunk(batch, training=False), training=False))

    rows = np.unique(np.linspace(0, len(images) - 1, min(len(images), MOST_IMAGES)).astype(int))
    files = images.manifest.files()
    moments = [_Moments(layer.input.shape[1]) for layer in layers]
    batches = embedding_batches([files[i] for i in rows], images.orientations[rows], params, params.eval_batch_size)
    for batch in batches:
        for each, features in zip(moments, pooled(batch), strict=True):
            each.add(features.numpy())
    for layer, each in zip(layers, moments, strict=True):
        layer.set_weights(each.whitening(layer.units))
    parts = "layer is" if len(layers) == 1 else f"{len(layers)} layers are"
    return f"whitening: the head's linear {parts} a PCA of the pooled features of {len(rows):,} training images"


def _linear_layers(network: Network) -> list[keras.layers.Dense]:
    layers = network.embedder.get_layer("head").layers
    return [layer for layer in layers if layer.name == "embedding" or layer.name.startswith("reduce_")]


class _Moments:
    """Mean and covariance of vectors that come in batches, in float64."""

    def __init__(self, width: int) -> None:
        self._count, self._sum, self._squares = 0, np.zeros(width), np.zeros((width, width))

    def add(self, vectors: np.ndarray) -> None:
        """(n, F)."""
        vectors = vectors.astype(np.float64)
        self._count += len(vectors)
        self._sum += vectors.sum(axis=0)
        self._squares += vectors.T @ vectors

    def whitening(self, dimensions: int) -> list[np.ndarray]:
        """Kernel (F, D) and bias (D,), float32; the directions with the largest variance first."""
        mean = self._sum / self._count
        variances, directions = np.linalg.eigh(self._squares / self._count - np.outer(mean, mean))
        variances = np.maximum(variances[::-1][:dimensions], 0.0)
        kernel = directions[:, ::-1][:, :dimensions] / np.sqrt(variances + _FLOOR * max(variances[0], 1e-12))
        return [kernel.astype(np.float32), (-mean @ kernel).astype(np.float32)]
