"""Batches as training gets them, with what is known of each image. Imports TensorFlow."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dataset.loading.pipeline import embedding_batches, training_batches
from dataset.loading.training_set import TrainingSet
from model.configuration.params import Params


@dataclass(frozen=True)
class TrainingBatch:
    """B images of one step.

    Attributes:
        step: the training step that they are for, from 0.
        images: (B, H, W, C) uint8, augmented.
        originals: (B, H, W, C) uint8, resized only, as the evaluation sees them; None if not asked for.
        indices: (B,) which of the training images they are.
    """

    step: int
    images: np.ndarray
    originals: np.ndarray | None
    indices: np.ndarray


def read_training_batches(
    data: TrainingSet, params: Params, start: int, stop: int, *, originals: bool = False
) -> Iterator[TrainingBatch]:
    """The batches of steps `start` .. `stop` - 1.

    Raises:
        UserError: when an image cannot be decoded; names its file.
    """
    import tensorflow as tf

    from dataset.loading.pipeline import broken_image

    files, orientations = data.images.manifest.files(), data.images.orientations
    batches = iter(training_batches(files, orientations, data.sampler, params, start, stop))
    for step in range(start, stop):
        indices = data.sampler.batch(step)
        own = [files[index] for index in indices]
        try:
            images, _, drawn = next(batches)
        except tf.errors.OpError as error:
            raise broken_image(own, error) from error
        plain = None
        if originals:
            plain = np.concatenate(
                [batch.numpy() for batch in embedding_batches(own, orientations[indices], params, len(own))]
            )
        yield TrainingBatch(step, images.numpy(), plain, drawn.numpy())
