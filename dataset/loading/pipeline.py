"""tf.data: batches for training and for embedding."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import tensorflow as tf

from dataset import images
from dataset.augmentation import for_training
from dataset.sampling import Sampler
from runtime.errors import UserError
from runtime.parallel import cores

_LEAST_THREADS = 8  # for files that come slowly
# Augmentations that cut `image_size` out of an image that comes larger.
_CROPS = {"random_crop", "random_resized_crop"}


class _Loader:
    """Loads image number `index` of a list of files: decoded, upright, resized."""

    def __init__(self, files: list[str], orientations: np.ndarray, params: Any, shape: tuple[int, int]) -> None:
        self._files = tf.constant(files)
        # Almost no data set has rotated photographs; those that have none pay nothing.
        self._orientations = tf.constant(orientations) if (orientations != 1).any() else None
        self._params, self._shape = params, shape

    def __call__(self, index: tf.Tensor) -> tf.Tensor:
        """() int64 -> (*shape, C) uint8."""
        image = images.decode(tf.io.read_file(self._files[index]), self._params.image_channels)
        if self._orientations is not None:
            image = images.turn_upright(image, self._orientations[index])

        def resized() -> tf.Tensor:
            return images.resize(image, self._shape, self._params.pad_to_square)

        if self._params.pad_to_square and self._shape[0] != self._shape[1]:
            return resized()
        # Resizing leaves an image of the right size as it is, but takes as long as decoding it.
        fits = tf.reduce_all(tf.shape(image)[:2] == self._shape)
        return tf.ensure_shape(tf.cond(fits, lambda: image, resized), [*self._shape, self._params.image_channels])


def training_batches(
    files: list[str], orientations: np.ndarray, sampler: Sampler, params: Any, start: int, stop: int
) -> tf.data.Dataset:
    """The batches of steps `start` .. `stop - 1`, a pure function of (seed, step).

    Yields:
        (images (B, H, W, C) uint8, labels (B,) int32, indices (B,) int64) with B = sampler.batch_size.
    """
    cropped = not _CROPS.isdisjoint(params.augmentation)
    load = _Loader(files, orientations, params, params.pre_crop_shape if cropped else params.image_shape)
    augment = for_training(params)
    labels = tf.constant(sampler.codes, tf.int32)

    def choose(step: tf.Tensor) -> tf.data.Dataset:
        indices = tf.numpy_function(sampler.batch, [step], tf.int64, stateful=False)
        indices.set_shape([sampler.batch_size])
        seed = tf.stack([params.seed, tf.cast(step, tf.int32)])
        seeds = tf.random.split(seed, sampler.batch_size)  # (B, 2)
        return tf.data.Dataset.from_tensor_slices((indices, seeds))

    def make(index: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, ...]:
        image = augment(load(index), seed)
        image.set_shape([*params.image_shape, params.image_channels])
        return image, labels[index], index

    dataset = tf.data.Dataset.range(start, stop).flat_map(choose)
    dataset = dataset.map(make, num_parallel_calls=params.num_parallel_calls or tf.data.AUTOTUNE, deterministic=True)
    return dataset.batch(sampler.batch_size, drop_remainder=True).prefetch(params.prefetch_threads)


def embedding_batches(
    files: list[str],
    orientations: np.ndarray,
    params: Any,
    batch_size: int,
    *,
    shape: tuple[int, int] | None = None,
    start: int = 0,
    stop: int | None = None,
) -> Iterator[tf.Tensor]:
    """Images `start` .. `stop` - 1 (None: to the end) once, in order, without augmentation.

    A batch ends where the batches of the whole list do, so that an image has the same place in its batch wherever
    reading starts; the first and the last batch are as small as they have to be.

    Args:
        files: N paths.
        orientations: (N,) EXIF orientations.
        params: of a run.
        batch_size: images in a whole batch.
        shape: (height, width) that images get; None is `image_size`.
        start, stop: which of them.

    Yields:
        (n, H, W, C) uint8, n <= batch_size.

    Raises:
        UserError: when an image cannot be decoded; names its file.
    """
    stop = len(files) if stop is None else stop
    if start >= stop:
        return
    load = _Loader(files, orientations, params, shape or params.image_shape)
    # The network needs the processor: a fixed number of threads of its own costs half as much as what tf.data chooses.
    options = tf.data.Options()
    options.autotune.enabled = False
    options.threading.private_threadpool_size = threads = max(_LEAST_THREADS, cores())
    parallel = params.num_parallel_calls or 2 * threads

    def batches_of(first: int, last: int) -> tf.data.Dataset:
        return tf.data.Dataset.range(first, last).map(load, parallel, deterministic=True).batch(batch_size)

    bounds = [start, *range((start // batch_size + 1) * batch_size, stop, batch_size), stop]
    dataset = batches_of(start, bounds[1]).concatenate(batches_of(bounds[1], stop))  # the first may be a smaller one
    batches = iter(dataset.prefetch(params.prefetch_threads).with_options(options))
    for first, last in pairwise(bounds):
        try:
            batch = next(batches)
        except tf.errors.OpError as error:
            raise broken_image(files[first:last], params.image_channels, error) from error
        yield batch


def broken_image(files: list[str], channels: int, error: tf.errors.OpError) -> UserError:
    """The clear error for a batch that failed: finds which of its files cannot be decoded.

    A decoding op inside tf.data cannot name its file, so that the few candidates are tried one by one.
    """
    for file in files:
        try:
            images.decode(tf.io.read_file(file), channels)
        except tf.errors.NotFoundError:
            return UserError(f"{file}: no such file any more; restore it and run the same command again")
        except tf.errors.InvalidArgumentError:  # what the decoder says of data that it cannot use
            remedy = "replace it, or set check_images to 'full' and corrupt_images to 'skip' to leave such images out"
            return UserError(f"{file}: corrupt image data; {remedy}")
        except tf.errors.OpError as problem:
            return UserError(f"{file}: cannot be read: {_one_line(problem)}")
    return UserError(f"{files[0]} or another of {len(files)} images: cannot be loaded: {_one_line(error)}")


def _one_line(error: tf.errors.OpError) -> str:
    return " ".join(error.message.split())
