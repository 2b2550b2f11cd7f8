"""The tf.data pipeline: batches for training and for embedding."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import tensorflow as tf

from dataset import images
from dataset.augmentation import for_training
from dataset.formats.packed import find_packed, read_image
from dataset.loading.image_cache import collect, remember
from dataset.sampling import Sampler
from runtime.errors import UserError
from runtime.parallel import cores

_LEAST_THREADS = 8  # for slow files
# Augmentations that cut `image_size` out of a larger image.
_CROPS = {"random_crop", "random_resized_crop"}


class _Loader:
    """Loads image number `index` of a list of files: decoded, upright, resized."""

    def __init__(
        self,
        files: list[str],
        orientations: np.ndarray,
        params: Any,
        shape: tuple[int, int] | None,
        cache: str = "none",
    ) -> None:
        self._files, self._params, self._shape = files, params, shape
        # Few data sets have rotated photographs; the others skip this work.
        self._orientations = tf.constant(orientations) if (orientations != 1).any() else None
        # A data set is packed as a whole; a list may name images of several.
        self._packed = any(map(find_packed, files))
        self._names: Any = None if self._packed else tf.constant(files)
        self._encoded: Any = None
        self._decoded: Any = None
        if cache == "encoded":
            count = len(files)
            key: tuple[Any, ...] = (tuple(files), cache)
            self._encoded = remember(
                key, lambda: tf.constant(collect(lambda place: read_image(files[place]), count, "'none'"))
            )
        elif cache == "decoded":
            key = (tuple(files), cache, orientations.tobytes(), shape, params.image_channels, params.pad_to_square)
            self._decoded = remember(key, self._load_all)

    def __call__(self, index: tf.Tensor) -> tf.Tensor:
        """() int64 -> (*shape, C) uint8; without a shape, of the size of the file."""
        if self._decoded:
            pixels, shapes = self._decoded
            image = tf.reshape(tf.io.decode_raw(pixels[index], tf.uint8), shapes[index])
            return tf.ensure_shape(image, [*(self._shape or (None, None)), self._params.image_channels])
        image = images.decode(self._read(index), self._params.image_channels)
        if self._orientations is not None:
            image = images.turn_upright(image, self._orientations[index])
        if self._shape is None:
            return image
        # Resizing does not change an image of the right size.
        squared = self._params.pad_to_square and self._shape[0] != self._shape[1]
        fits = tf.reduce_all(tf.shape(image)[:2] == self._shape) & (not squared)
        resized = tf.cond(fits, lambda: image, lambda: images.resize(image, self._shape, self._params.pad_to_square))
        return tf.ensure_shape(resized, [*self._shape, self._params.image_channels])

    def batch(self, indices: tf.Tensor) -> tf.Tensor:
        """(n,) int64 -> (n, *shape, C) uint8, from decoded images in memory."""
        pixels = tf.io.decode_raw(tf.gather(self._decoded[0], indices), tf.uint8)
        height, width = self._shape or (None, None)
        return tf.reshape(pixels, [len(indices), height, width, self._params.image_channels])

    def _read(self, index: tf.Tensor) -> tf.Tensor:
        """() int64 -> () string, the bytes of the file."""
        if self._encoded is not None:
            return self._encoded[index]
        if not self._packed:
            return tf.io.read_file(self._names[index])
        data = tf.numpy_function(lambda index: read_image(self._files[index]), [index], tf.string, stateful=False)
        return tf.ensure_shape(data, [])

    def _load_all(self) -> tuple[tf.Tensor, tf.Tensor]:
        """(N,) string, the pixels of each image, and (N, 3) int64, their shapes."""
        load, shapes = tf.function(self.__call__), np.zeros((len(self._files), 3), np.int64)

        def pixels(number: int) -> bytes:
            try:
                with tf.device("CPU:0"):  # as tf.data: GPUs round differently
                    image = load(tf.constant(number, tf.int64)).numpy()
            except tf.errors.OpError as error:
                raise broken_image([self._files[number]], self._params, error) from error
            shapes[number] = image.shape
            return image.tobytes()

        return tf.constant(collect(pixels, len(self._files), "'encoded' or 'none'")), tf.constant(shapes)


def training_batches(
    files: list[str],
    orientations: np.ndarray,
    sampler: Sampler,
    params: Any,
    start: int,
    stop: int,
    rows: slice | None = None,
    parts: int = 1,
) -> tf.data.Dataset:
    """The batches of steps `start` .. `stop - 1`; each is a pure function of (seed, step).

    Args:
        files, orientations: N paths and their EXIF orientations.
        sampler: it chooses the images of each batch.
        params: parameters of the run.
        start, stop: the first step, and the one after the last.
        rows: the rows of each batch of `sampler.batch_size` that are loaded; None is all.
        parts: into how many equal parts these rows are cut, for the devices of this process.

    Yields:
        (images (b, H, W, C) uint8, labels (b,) int32, indices (b,) int64), b rows of a part; the parts one by one.
    """
    rows = rows or slice(0, sampler.batch_size)
    load = _Loader(files, orientations, params, _loaded_shape(params), params.image_cache)
    augment = for_training(params)
    labels = tf.constant(sampler.codes, tf.int32)

    def chosen(step: tf.Tensor) -> tf.Tensor:
        indices = tf.numpy_function(sampler.batch, [step], tf.int64, stateful=False)
        return tf.ensure_shape(indices, [sampler.batch_size])

    def choose(step: tf.Tensor) -> tf.data.Dataset:
        indices, seed = chosen(step), tf.stack([params.seed, tf.cast(step, tf.int32)])
        seeds = tf.random.split(seed, sampler.batch_size)  # (B, 2)
        return tf.data.Dataset.from_tensor_slices((indices[rows], seeds[rows]))

    def make(index: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, ...]:
        image = augment(load(index), seed)
        image.set_shape([*params.image_shape, params.image_channels])
        return image, labels[index], index

    def whole(step: tf.Tensor) -> tuple[tf.Tensor, ...]:
        indices = chosen(step)[rows]
        return load.batch(indices), tf.gather(labels, indices), indices

    steps, threads = tf.data.Dataset.range(start, stop), params.num_parallel_calls or 2 * _threads()
    size = (rows.stop - rows.start) // parts
    if params.image_cache == "decoded" and not params.augmentation and not params.augmentation_pool and parts == 1:
        return (
            steps.map(whole).prefetch(params.prefetch_threads).with_options(_options(params))
        )  # a few ops for a batch
    dataset = steps.flat_map(choose)
    dataset = dataset.map(make, num_parallel_calls=threads, deterministic=True)
    return (
        dataset.batch(size, drop_remainder=True)
        .prefetch(params.prefetch_threads * parts)
        .with_options(_options(params))
    )


def _loaded_shape(params: Any) -> tuple[int, int] | None:
    """The size of images before they are augmented; None: of the file, as a crop comes first and resizes its window."""
    if params.augmentation[:1] == ["random_crop"] and not params.pad_to_square:
        return None
    return params.image_shape if _CROPS.isdisjoint(params.augmentation) else params.pre_crop_shape


def _options(params: Any) -> tf.data.Options:
    """A private pool of fixed size, without tf.data's automatic tuning."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.threading.private_threadpool_size = max(_threads(), params.num_parallel_calls or 0)
    options.threading.max_intra_op_parallelism = 1  # images are parallel already
    return options


def _threads() -> int:
    return max(_LEAST_THREADS, cores())


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
    """Yields images `start` .. `stop` - 1 (None: to the end) once, in order, without augmentation.

    Batches end at multiples of `batch_size` in the whole list. So an image has the same place in its batch wherever
    reading starts; the first and the last batch may be smaller.

    Args:
        files: N paths.
        orientations: (N,) EXIF orientations.
        params: parameters of the run.
        batch_size: images in a full batch.
        shape: (height, width) of the resized images; None is `image_size`.
        start, stop: first image, and the one after the last.

    Yields:
        (n, H, W, C) uint8, n <= batch_size.

    Raises:
        UserError: when an image cannot be decoded; names its file.
    """
    stop = len(files) if stop is None else stop
    if start >= stop:
        return
    load = _Loader(files, orientations, params, shape or params.image_shape)
    parallel = params.num_parallel_calls or 2 * _threads()

    def batches_of(first: int, last: int) -> tf.data.Dataset:
        return tf.data.Dataset.range(first, last).map(load, parallel, deterministic=True).batch(batch_size)

    bounds = [start, *range((start // batch_size + 1) * batch_size, stop, batch_size), stop]
    dataset = batches_of(start, bounds[1]).concatenate(batches_of(bounds[1], stop))  # the first may be smaller
    batches = iter(dataset.prefetch(params.prefetch_threads).with_options(_options(params)))
    for first, last in pairwise(bounds):
        try:
            batch = next(batches)
        except tf.errors.OpError as error:
            raise broken_image(files[first:last], params, error) from error
        yield batch


def broken_image(files: list[str], params: Any, error: tf.errors.OpError) -> UserError:
    """The error for a batch that failed. It names the file that cannot be decoded.

    A decoding op inside tf.data does not know its file, so this tries the files of the batch one by one.
    """
    for file in files:
        try:
            images.decode(read_image(file) if find_packed(file) else tf.io.read_file(file), params.image_channels)
        except UserError as damage:  # of a pack
            return damage
        except tf.errors.NotFoundError:
            return UserError(f"{file}: no such file; restore it and repeat the command")
        except tf.errors.InvalidArgumentError:  # the decoder's error for invalid data
            return UserError(f"{file}: corrupt image data; {_remedy(params)}")
        except tf.errors.OpError as problem:
            return UserError(f"{file}: cannot be read: {_one_line(problem)}")
    return UserError(f"one of {len(files)} images, such as {files[0]}, cannot be loaded: {_one_line(error)}")


def _remedy(params: Any) -> str:
    """What to do about an image that the check let pass."""
    if params.check_images == "full":
        return "it was whole when it was checked, so it has changed since; replace it and repeat the command"
    skip = "" if params.corrupt_images == "skip" else " and corrupt_images to 'skip'"
    return f"replace it, or set check_images to 'full'{skip} to skip such images"


def _one_line(error: tf.errors.OpError) -> str:
    return " ".join(error.message.split())
