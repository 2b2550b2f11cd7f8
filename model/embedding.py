"""Images to vectors: the one path that evaluating, embedding and visualising share."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from dataset.pipeline import embedding_batches
from model.params import Params


class Embedder:
    """A network that embeds files. It is compiled once; new weights may be restored into `model` at any time."""

    def __init__(self, model: keras.Model, params: Params) -> None:
        self.model, self._params = model, params
        signature = [tf.TensorSpec([None, *params.image_shape, params.image_channels], tf.uint8)]
        self._forward = tf.function(lambda images: model(images, training=False), input_signature=signature)

    def embed(
        self,
        files: list[str],
        orientations: np.ndarray,
        *,
        batch_size: int | None = None,
        progress: Callable[[int], None] = lambda done: None,
    ) -> np.ndarray:
        """Embeds all files, in order: (N, D) float32.

        Args:
            files: N paths.
            orientations: (N,) EXIF orientations.
            batch_size: images at a time; None is `eval_batch_size`.
            progress: called with the number of images done after each batch.

        Raises:
            UserError: when an image cannot be decoded; names its file.
        """
        embeddings = np.empty((len(files), self._params.embedding_size), np.float32)
        done = 0
        for batch in embedding_batches(files, orientations, self._params, batch_size or self._params.eval_batch_size):
            vectors = self._forward(batch).numpy()
            embeddings[done : done + len(vectors)] = vectors
            done += len(vectors)
            progress(done)
        return embeddings
