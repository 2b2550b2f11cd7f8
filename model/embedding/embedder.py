"""Images to vectors: the code that evaluation, embedding and visualization share."""

import contextlib
import functools
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from dataset.loading.pipeline import embedding_batches
from model.configuration.params import Params
from model.embedding.views import TestTimeAugmentation
from model.network import batch_norm
from runtime.errors import UserError

_PLAIN = TestTimeAugmentation()


def images_at_a_time(batch_size: int | None, params: Params, count: int) -> int:
    """The size of every batch when a whole list of `count` images is embedded; None is `eval_batch_size`."""
    # For a batch of one image, libraries have other kernels, which round differently.
    return max(2, min(batch_size or params.eval_batch_size, count))


class Embedder:
    """A network that embeds files. It is compiled once; new weights may be restored into `model` at any time."""

    def __init__(
        self,
        model: keras.Model,
        params: Params,
        augmentation: TestTimeAugmentation = _PLAIN,
        devices: Sequence[str] = (),
    ) -> None:
        """Args:
        model: an embedder, built with `augmentation.network_params(params)`.
        params: of its run.
        augmentation: the variants of each image; by default the unchanged image only.
        devices: names of devices that take turns, one batch each; the first is that of `model`. Embeddings do not
            depend on their number. Empty: one device.
        """
        self.model, self._params, self._augmentation, self._others = model, params, augmentation, devices[1:]
        signature = [tf.TensorSpec(model.input_shape, tf.uint8)]
        self.forward = tf.function(self._call, input_signature=signature)
        self._forward_with = tf.function(self._call_with)

    def warm_up(self, size: int) -> None:
        """Compiles the network and runs it on `size` empty images, so the first real batches are not slow."""
        for device, forward in self._on_each_device():
            with _placed_on(device):
                forward(tf.zeros([size, *self.model.input_shape[1:]], tf.uint8))

    def _on_each_device(self) -> Iterator[tuple[str | None, Callable[[tf.Tensor], tf.Tensor]]]:
        """Each device, and `forward` for it. The others get a copy of the present weights when they are first asked."""
        yield None, self.forward
        for device in self._others:
            with tf.device(device):
                weights = [tf.identity(variable.value) for variable in self.model.variables]
            yield device, functools.partial(self._forward_with, weights)

    def _call(self, images: tf.Tensor) -> tf.Tensor:
        with batch_norm.folded(self.model.get_layer("backbone")):
            return self.model(images, training=False)

    def _call_with(self, weights: list[tf.Tensor], images: tf.Tensor) -> tf.Tensor:
        with keras.StatelessScope(state_mapping=zip(self.model.variables, weights, strict=True)):
            return self._call(images)

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
        devices = itertools.cycle(self._on_each_device())
        at_work: deque[tuple[slice, list[tf.Tensor]]] = deque()  # a batch on each device: GPUs do not make us wait
        failure = None
        try:
            for images in loaded:
                count, before = len(images), row % size
                device, forward = next(devices)
                with _placed_on(device):
                    if count < size:
                        images = tf.pad(images, [[before, size - count - before], [0, 0], [0, 0], [0, 0]])
                    variants = self._augmentation.variants(images, self._params.image_shape)
                    at_work.append((slice(before, before + count), [forward(variant) for variant in variants]))
                row += count
                if len(at_work) > len(self._others):
                    yield _fetched(*at_work.popleft())
        except UserError as error:  # an image cannot be decoded; what was computed before it is kept
            failure = error
        while at_work:
            yield _fetched(*at_work.popleft())
        if failure:
            raise failure


def _placed_on(device: str | None) -> contextlib.AbstractContextManager[object]:
    """Places computations on a device; None: on the one that the caller has chosen."""
    return contextlib.nullcontext() if device is None else tf.device(device)


def _fetched(rows: slice, vectors: list[tf.Tensor]) -> np.ndarray:
    """These rows of a batch: A x (size, D) -> (n, A, D)."""
    return np.stack([variant.numpy() for variant in vectors], axis=1)[rows]
