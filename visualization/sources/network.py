"""A run's network with the weights of a checkpoint, and its embeddings. Imports TensorFlow."""

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

# Embeds files with their EXIF orientations: (N, D). The last argument names them in the progress line.
Embed = Callable[[list[str], np.ndarray, str], np.ndarray]


def load_network(checkpoint: Path, params: Params) -> keras.Model:
    """The network with the weights of a checkpoint.

    Raises:
        UserError: for a checkpoint of another architecture, or a broken one.
    """
    model = build_embedder(params)
    restore_model(checkpoint, model)
    return model


def load_embed(checkpoint: Path, params: Params) -> Embed:
    """The network as a function, which raises a UserError for embeddings that are NaN or infinite."""
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
    """Raises a UserError for a checkpoint with embeddings that are NaN or infinite."""
    if not np.isfinite(embeddings).all():
        raise UserError(f"{checkpoint}: its embeddings are NaN or infinite; use another checkpoint")
