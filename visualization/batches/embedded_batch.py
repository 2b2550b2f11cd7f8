"""A batch and its embeddings by a run's network. Imports TensorFlow."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from dataset.formats.manifest import Manifest
from dataset.loading.training_set import TrainingSet
from model.configuration.params import Params
from model.embedding.embedder import Embedder
from visualization.sources.network import load_network
from visualization.sources.training_batch import read_images, read_training_batches


class EmbeddedBatch(NamedTuple):
    """B images (B, H, W, C) uint8, what they are, and their embeddings (B, D)."""

    images: np.ndarray
    manifest: Manifest
    embeddings: np.ndarray


def embed_training_batch(checkpoint: Path, params: Params, data: TrainingSet, step: int) -> EmbeddedBatch:
    """The training batch of a step; an identity with fewer than K images repeats some: each is there once."""
    embedder = Embedder(load_network(checkpoint, params), params)
    (batch,) = read_training_batches(data, params, step, step + 1)
    _, first = np.unique(batch.indices, return_index=True)
    places = np.sort(first)
    return _embedded(embedder, batch.images[places], data.images.manifest.select(batch.indices[places]))


def embed_listed(checkpoint: Path, params: Params, manifest: Manifest, orientations: np.ndarray) -> EmbeddedBatch:
    """The images of a list as one batch, with their EXIF orientations (B,)."""
    embedder = Embedder(load_network(checkpoint, params), params)
    return _embedded(embedder, read_images(manifest.files(), orientations, params), manifest)


def _embedded(embedder: Embedder, images: np.ndarray, manifest: Manifest) -> EmbeddedBatch:
    return EmbeddedBatch(images, manifest, embedder.forward(tf.constant(images)).numpy())
