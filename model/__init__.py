"""Batches to embeddings, embeddings to losses and metrics; `load` opens a trained network."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.embedding.image_embedder import ImageEmbedder


def load(source: str | Path, checkpoint: str | None = None) -> "ImageEmbedder":
    """A trained network, ready to embed images.

        embedder = load("experiments/my_run")
        vectors = embedder.embed(["a.jpg", "b.png"])  # (2, D) float32
        embedder.distance(vectors[0], vectors[1]), embedder.metric, embedder.threshold

    It prints nothing and changes no setting of Keras or TensorFlow, unless TensorFlow was not imported before: then it
    is told to be quiet and to take the memory of GPUs as it needs it.

    Args:
        source: a run folder, or what `export.py --format keras` wrote: its folder, or model.keras.
        checkpoint: of a run: "best", "latest", "ckpt-1200", or a path; None is the best, or the latest where nothing
            has been evaluated.

    Raises:
        UserError: one line, when there is no such run, model or checkpoint, or it cannot be read.
    """
    if "tensorflow" not in sys.modules:
        from model.run import devices

        devices.prepare()
    from model.embedding.image_embedder import open_embedder  # TensorFlow: not with every module of this package

    return open_embedder(source, checkpoint)
