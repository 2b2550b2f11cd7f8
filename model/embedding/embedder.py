"""Images to vectors: the code that evaluation, embedding and visualization share."""

from collections.abc import Callable, Iterable, Iterator

import keras
import numpy as np
import tensorflow as tf

from dataset.loading.pipeline import embedding_batches
from model.configuration.params import Params
from model.embedding.views import TestTimeAugmentation

_PLAIN = TestTimeAugmentation()


def images_at_a_time(batch_size: int | None, params: Params, count: int) -> int:
    """The size of every batch when a whole list of `count` images is embedded; None is `eval_batch_size`."""
    # For a batch of one image, libraries have other kernels, which round differently.
    return max(2, min(batch_size or params.eval_batch_size, count))


class Embedder:
    """A network that embeds files. It is compiled once; new weights may be restored into `model` at any time."""

    def __init__(self, model: keras.Model, params: Params, augmentation: TestTimeAugmentation = _PLAIN) -> None:
        """Args:
        model: an embedder, built with `augmentation.network_params(params)`.
        params: of its run.
        augmentation: the variants of each image; by default the unchanged image only.
        """
        self.model, self._params, self._augmentation = model, params, augmentation
        signature = [tf.TensorSpec(model.input_shape, tf.uint8)]
        self.forward = tf.function(lambda images: model(images, training=False), input_signature=signature)

    def warm_up(self, size: int) -> None:
        """Compiles the network and runs it on `size` empty images, so the first real batch is not slow."""
        self.forward(tf.zeros([size, *self.model.input_shape[1:]], tf.uint8))

    def embed(
        self,
        files: list[str],
        orientations: np.ndarray,
        *,
        batch_size: int | None = None,
        progress: Callable[[int], None] = lambda done: None,
    ) -> np.ndarray:
        """The embeddings of all files, in order: (N, D) float32; for a single variant per image.

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
        for vectors in self.batches(files, orientations, batch_size=batch_size):
            embeddings[done : done + len(vectors)] = vectors[:, 0]
            done += len(vectors)
            progress(done)
        return embeddings

    def batches(
        self,
        files: list[str],
        orientations: np.ndarray,
        *,
        batch_size: int | None = None,
        start: int = 0,
        stop: int | None = None,
    ) -> Iterator[np.ndarray]:
        """Embeds the files `start` .. `stop` - 1 of a list, in order, with all variants of each.

        An image's embedding has the same bits whatever part of the list is embedded: the image has the same place in a
        batch of the same size. Incomplete batches are padded.

        Yields:
            (n, A, D) float32 for the next n <= batch_size images.

        Raises:
            UserError: when an image cannot be decoded; names its file.
        """
        size = images_at_a_time(batch_size, self._params, len(files))
        shape = self._augmentation.load_shape(self._params)
        loaded = embedding_batches(files, orientations, self._params, size, shape=shape, start=start, stop=stop)
        yield from self.batches_of(loaded, size, start)

    def batches_of(self, loaded: Iterable[tf.Tensor], size: int, start: int = 0) -> Iterator[np.ndarray]:
        """Embeds images that are already loaded: (n, h, w, C) uint8 -> (n, A, D) float32.

        Args:
            loaded: batches of `size` images; the first and the last may be smaller.
            size: of every batch that the network gets.
            start: the first image's place in the whole list.
        """
        row = start
        for images in loaded:
            count, before = len(images), row % size
            if count < size:
                images = tf.pad(images, [[before, size - count - before], [0, 0], [0, 0], [0, 0]])
            variants = self._augmentation.variants(images, self._params.image_shape)
            vectors = [self.forward(variant).numpy() for variant in variants]  # A x (size, D)
            row += count
            yield np.stack(vectors, axis=1)[before : before + count]
