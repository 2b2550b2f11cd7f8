"""Sets the head's linear layers to a whitening of the training images' pooled features (`whitening`)."""

import keras
import numpy as np
import tensorflow as tf

from dataset.loading.checked import CheckedImages
from dataset.loading.pipeline import embedding_batches
from model.configuration.params import Params
from model.network.build import Network
from runtime.errors import UserError

# Enough for the covariance of a few thousand features. Larger data sets: evenly spaced images of the list.
MOST_IMAGES = 20_000
# Added to the variances, relative to the largest: directions of small variance are noise and must stay small.
_FLOOR = 1e-3


def check_whitening(network: Network, params: Params) -> None:
    """Raises a UserError when a linear layer has more outputs than inputs, before a long training."""
    for layer in _linear_layers(network):
        width = layer.input.shape[1]
        if layer.units > width:
            raise UserError(
                f"whitening: embedding_size {params.embedding_size} needs {layer.units} dimensions, but there are only "
                f"{width} pooled features; reduce embedding_size, or drop whitening"
            )


def whiten(network: Network, params: Params, images: CheckedImages) -> str:
    """Sets the linear layers on the present pooled features to a whitening; returns a log line about it.

    Let m and C be the mean and covariance of the features x of the training images. The layer computes
    (L + c)^(-1/2) V^T (x - m), where L and V are the D largest eigenvalues of C and their eigenvectors (Jegou and Chum,
    Negative Evidences and Co-occurrences in Image Retrieval: the Benefit of PCA and Whitening). Without it, a few
    directions that all images share dominate the distances; and layers trained on few identities may be worse on others
    than the features themselves.

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
    """Mean and covariance of vectors given in batches, in float64."""

    def __init__(self, width: int) -> None:
        self._count, self._sum, self._squares = 0, np.zeros(width), np.zeros((width, width))

    def add(self, vectors: np.ndarray) -> None:
        """(n, F)."""
        vectors = vectors.astype(np.float64)
        self._count += len(vectors)
        self._sum += vectors.sum(axis=0)
        self._squares += vectors.T @ vectors

    def whitening(self, dimensions: int) -> list[np.ndarray]:
        """Kernel (F, D) and bias (D,), float32; directions in order of falling variance."""
        mean = self._sum / self._count
        variances, directions = np.linalg.eigh(self._squares / self._count - np.outer(mean, mean))
        variances = np.maximum(variances[::-1][:dimensions], 0.0)
        kernel = directions[:, ::-1][:, :dimensions] / np.sqrt(variances + _FLOOR * max(variances[0], 1e-12))
        return [kernel.astype(np.float32), (-mean @ kernel).astype(np.float32)]
