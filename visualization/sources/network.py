"""A run's network, restored, and the embeddings that it gives. Imports TensorFlow."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from model.configuration.params import Params
from model.embedding.embedder import Embedder
from model.network.build import build_embedder
from model.run.restore import restore_model
from runtime.errors import UserError
from runtime.progress import Progress

# Embeds files with their EXIF orientations, (N, D); the last argument says what they are, for the progress.
Embed = Callable[[list[str], np.ndarray, str], np.ndarray]


def load_network(checkpoint: Path, params: Params) -> keras.Model:
    """The network with the weights of a checkpoint.

    Raises:
        UserError: when it is of another architecture, or broken.
    """
    model = build_embedder(params)
    restore_model(checkpoint, model)
    return model


def load_embed(checkpoint: Path, params: Params) -> Embed:
    """The network as a function, which raises a UserError for embeddings that are not finite."""
    embedder = Embedder(load_network(checkpoint, params), params)

    def embed(files: list[str], orientations: np.ndarray, what: str) -> np.ndarray:
        embeddings = embedder.embed(files, orientations, progress=Progress("embedded", len(files), what))
        check_finite(checkpoint, embeddings)
        return embeddings

    return embed


def embed_images(checkpoint: Path, params: Params, images: np.ndarray) -> np.ndarray:
    """The embeddings (B, D) of a batch of images (B, H, W, C) uint8."""
    return Embedder(load_network(checkpoint, params), params).forward(tf.constant(images)).numpy()


def check_finite(checkpoint: Path, embeddings: np.ndarray) -> None:
    """Raises a UserError for a checkpoint whose embeddings are not finite."""
    if not np.isfinite(embeddings).all():
        raise UserError(f"{checkpoint}: it gives embeddings that are no numbers; use another checkpoint")
