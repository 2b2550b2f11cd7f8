"""Batches for the training loop, over the replicas; with hard triples, mined anew for every epoch."""

from collections.abc import Iterator
from pathlib import Path

import keras
import tensorflow as tf

from dataset.loading.pipeline import training_batches
from dataset.loading.training_set import TrainingSet
from model.checkpoints import NonFiniteError, TrainingCheckpoints
from model.configuration.params import Params
from model.embedding import Embedder
from model.offline_mining import hardest_triples, load_triples, save_triples
from runtime.log import Log


class HardTriples:
    """Mines the triples of an epoch by the embeddings of the checkpoint that it begins with.

    They are kept in a file, so that a run that is resumed within the epoch goes on with the same.
    """

    def __init__(
        self,
        folder: Path,
        model: keras.Model,
        params: Params,
        data: TrainingSet,
        checkpoints: TrainingCheckpoints,
        log: Log,
    ) -> None:
        self._folder, self._params, self._data, self._log = folder, params, data, log
        self._checkpoints, self._embedder = checkpoints, Embedder(model, params)

    def prepare(self, step: int) -> None:
        """Gives the sampler the triples of the epoch that `step` is in; called before its batches are asked for.

        Raises:
            NonFiniteError: when a weight or an embedding is no number any more.
            UserError: when an image is broken, or a file cannot be written.
        """
        sampler = self._data.sampler
        epoch, done = divmod(step, sampler.steps_per_epoch)
        kept = load_triples(self._folder, epoch) if done else None
        if kept is not None:
            try:
                sampler.use(epoch, kept)
                return
            except ValueError:  # of another data set
                pass
        images = self._data.images
        embeddings = self._embedder.embed(images.manifest.files(), images.orientations)
        try:
            triples = hardest_triples(embeddings, sampler.codes, self._params.metric)
        except ValueError as error:  # of finite weights too: a training that diverges
            raise NonFiniteError(
                f"no triples can be mined at step {step}: {error}", self._checkpoints.latest
            ) from error
        self._checkpoints.save(step)  # from here, resuming mines the same
        save_triples(self._folder, epoch, triples)
        sampler.use(epoch, triples)
        self._log.line(f"step {step}: {len(triples):,} hard triples mined from {self._checkpoints.latest.name}")


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
