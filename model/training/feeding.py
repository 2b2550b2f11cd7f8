"""Batches for the training loop, over the replicas; with hard triples, mined anew for every epoch."""

from collections.abc import Iterator

import tensorflow as tf

from dataset.loading.pipeline import training_batches
from dataset.loading.training_set import TrainingSet
from model.configuration.params import Params
from model.training.hard_triples import HardTriples


def feed(
    strategy: tf.distribute.Strategy,
    data: TrainingSet,
    params: Params,
    start: int,
    stop: int,
    hard: HardTriples | None,
) -> Iterator[tuple[tf.Tensor, ...]]:
    """The batches of steps `start` .. `stop - 1`, each shared among the replicas: (images, labels, indices)."""
    files, orientations = data.images.manifest.files(), data.images.orientations
    while start < stop:
        end = stop
        if hard:  # batches are prepared ahead, but not beyond what is known
            hard.prepare(start)
            epoch = data.sampler.steps_per_epoch
            end = min(stop, (start // epoch + 1) * epoch)
        dataset = training_batches(files, orientations, data.sampler, params, start, end)
        several = strategy.num_replicas_in_sync > 1
        yield from iter(strategy.experimental_distribute_dataset(dataset) if several else dataset)
        start = end
