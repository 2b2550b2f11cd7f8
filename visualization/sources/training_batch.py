"""Reads training batches as training gets them. Imports TensorFlow."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from dataset.loading.pipeline import broken_image, embedding_batches, training_batches
from dataset.loading.training_set import TrainingSet
from model.configuration.params import Params
from visualization.sources.training_source import TrainingBatch


def read_training_batches(
    data: TrainingSet, params: Params, start: int, stop: int, *, originals: bool = False
) -> Iterator[TrainingBatch]:
    """The batches of steps `start` .. `stop` - 1.

    Raises:
        UserError: when an image cannot be decoded; it names the file.
    """
    files, orientations = data.images.manifest.files(), data.images.orientations
    batches = iter(training_batches(files, orientations, data.sampler, params, start, stop))
    for step in range(start, stop):
        indices = data.sampler.batch(step)
        own = [files[index] for index in indices]
        try:
            images, _, drawn = next(batches)
        except tf.errors.OpError as error:
            raise broken_image(own, params, error) from error
        plain = read_images(own, orientations[indices], params) if originals else None
        yield TrainingBatch(step, images.numpy(), plain, drawn.numpy())


def read_images(files: list[str], orientations: np.ndarray, params: Params) -> np.ndarray:
    """The images of files as the evaluation gets them: (N, H, W, C) uint8."""
    return np.concatenate([batch.numpy() for batch in embedding_batches(files, orientations, params, len(files))])
