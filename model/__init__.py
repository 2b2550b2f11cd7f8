"""Networks, losses, metrics, training and evaluation; `load` opens a trained network.

>>> from model import load
>>> embedder = load("experiments/omniglot/model")
>>> embedder.embed([]).shape, embedder.metric, round(embedder.threshold, 2)
((0, 128), 'euclidean', 7.0)
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from model.keras_settings import choose_tensorflow
from runtime.moved import find_moved

if TYPE_CHECKING:
    from model.embedding.image_embedder import ImageEmbedder

choose_tensorflow()  # here, because every road to Keras passes
find_moved()


def load(source: str | Path, checkpoint: str | None = None) -> "ImageEmbedder":
    """A trained network, ready to embed images.

        embedder = load("experiments/my_run")
        vectors = embedder.embed(["a.jpg", "b.png"])  # (2, D) float32
        embedder.distance(vectors[0], vectors[1]), embedder.metric, embedder.threshold

    It prints nothing and changes no setting of Keras. If it is the first to import TensorFlow, it makes TensorFlow
    quiet and lets it take GPU memory as needed.

    Args:
        source: a run folder, or an export of `export.py --format keras`: its folder, or model.keras.
        checkpoint: of a run: "best", "latest", "ckpt-1200", or a path; None is the best, or the latest if nothing has
            been evaluated.

    Raises:
        UserError: for a run, model or checkpoint that does not exist or cannot be read.
    """
    if "tensorflow" not in sys.modules:
        from model.run import devices

        devices.select()
    from model.embedding.image_embedder import open_embedder  # TensorFlow: not with every module of this package

    return open_embedder(source, checkpoint)
