"""Mines the hardest triples of the training set at the start of each epoch."""

from pathlib import Path

import numpy as np

from dataset.loading.training_set import TrainingSet
from dataset.sampling.triplets import TripletSampler
from model.configuration.params import Params
from model.embedding.embedder import Embedder
from model.run.checkpoint_files import NonFiniteError
from model.run.triples_file import load_triples, save_triples
from model.training.batch_statistics import blocks_of
from model.training.checkpoints import TrainingCheckpoints
from model.training.learner import Learner
from runtime.log import Log


def hardest_triples(embeddings: np.ndarray, codes: np.ndarray, metric: str, block: int = 1024) -> np.ndarray:
    """The hardest triple of each image that has a positive: the image, its farthest positive, its nearest negative.

    This is batch-hard mining (Hermans et al., In Defense of the Triplet Loss, section 2) with the training set as the
    batch; FaceNet (Schroff et al., section 3.2) calls it offline generation. The distances are those of the loss,
    rounded to float32. At equal distances the image with the lowest index wins.

    Args:
        embeddings: (N, D) float32.
        codes: (N,) integers, the identity of every image.
        metric: as for `model.losses.pairwise.pairwise`.
        block: anchors at a time; each takes about 30 N bytes of memory.

    Returns:
        (A, 3) int64: indices of anchor, positive and negative, in ascending order of anchors. A images have a positive.

    Raises:
        ValueError: for fewer than 2 identities, or distances that are NaN or infinite.
    """
    identities, codes, counts = np.unique(codes, return_inverse=True, return_counts=True)
    if len(identities) < 2:
        raise ValueError("there is only one identity, so there are no negatives")
    anchors = np.flatnonzero(counts[codes] >= 2)  # (A,)
    triples = [np.empty((0, 3), np.int64)]
    for rows, distances, same, itself in blocks_of(codes, embeddings, metric, anchors, block):
        if not np.isfinite(distances).all():
            raise ValueError("embeddings or their distances are NaN or infinite")
        farthest = np.where(same & ~itself, distances, -np.inf).argmax(axis=1)
        nearest = np.where(same, np.inf, distances).argmin(axis=1)
        triples.append(np.stack([rows, farthest, nearest], axis=1))
    return np.concatenate(triples)


class HardTriples:
    """Mines the triples of an epoch with the checkpoint at its start.

    They are saved in a file: a run that resumes within the epoch uses the same triples.
    """

    def __init__(
        self,
        folder: Path,
        learner: Learner,
        params: Params,
        data: TrainingSet,
        checkpoints: TrainingCheckpoints,
        log: Log,
    ) -> None:
        self._folder, self._params, self._images, self._log = folder, params, data.images, log
        assert isinstance(data.sampler, TripletSampler)  # the one that takes mined triples
        self._sampler = data.sampler
        self._checkpoints, self._cluster = checkpoints, learner.cluster
        self._embedder = Embedder(learner.embedder, params)

    def due(self, step: int) -> bool:
        """Whether an epoch begins with this step, before which triples are mined."""
        return step % self._sampler.steps_per_epoch == 0

    def prepare(self, step: int) -> None:
        """Gives the sampler the triples of the epoch of `step`. Call it before asking for the batches of that epoch.

        Raises:
            NonFiniteError: when a weight or an embedding became NaN or infinite.
            UserError: when an image is broken, or a file cannot be written.
        """
        epoch, done = divmod(step, self._sampler.steps_per_epoch)
        triples = self._triples(step, epoch, done) if self._cluster.chief else None
        found = self._cluster.share(triples.tobytes() if triples is not None else None)
        self._sampler.use(epoch, np.frombuffer(found, np.int64).reshape(-1, 3))

    def _triples(self, step: int, epoch: int, done: int) -> np.ndarray:
        """The triples of an epoch of which `done` steps are done: kept ones, else mined: (A, 3) int64."""
        sampler = self._sampler
        kept = load_triples(self._folder, epoch) if done else None
        if kept is not None:
            try:
                sampler.use(epoch, kept)
                return kept
            except ValueError:  # from another data set
                pass
        embeddings = self._embedder.embed(self._images.manifest.files(), self._images.orientations)
        try:
            triples = hardest_triples(embeddings, sampler.codes, self._params.metric)
        except ValueError as error:  # finite weights may have such embeddings: the training diverges
            raise NonFiniteError(
                f"no triples can be mined at step {step}: {error}", self._checkpoints.latest
            ) from error
        self._checkpoints.save(step)  # a resumed run mines the same triples from it
        save_triples(self._folder, epoch, triples)
        self._log.line(f"step {step}: {len(triples):,} hard triples mined from ckpt-{step}")
        return triples
