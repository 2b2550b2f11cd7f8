"""Sampling: which images make the batch of a step. One module per way of sampling.

Each module here defines

    make(labels, params, sequences=None) -> Sampler

with `labels` (N,), the identity of every training image, the run's parameters, and `sequences` (N,), the sequence of
every image, or None. It raises a UserError if no batch can be made. A sampler is a pure function of (seed, step)
without any state: resuming a run, repeating it, or sharding it over workers needs only the step.

No TensorFlow.

>>> import numpy as np
>>> from dataset.sampling.pk import PKSampler
>>> sampler = PKSampler(np.array(["ann", "ann", "ann", "bob", "bob", "cat", "cat"]), batch_p=2, batch_k=2, seed=0)
>>> sampler.steps_per_epoch, len(sampler.batch(0)), len(set(sampler.codes[sampler.batch(0)]))
(2, 4, 2)
"""

import numpy as np

from runtime.counting import counted
from runtime.errors import UserError

# One seed feeds two streams of random numbers: the order of an epoch, and all other draws.
ORDER, DRAW = 0, 1


class Sampler:
    """The images of each batch, as returned by `make`. A subclass defines `batch` and sets some of the attributes.

    Attributes:
        identities: (I,) the different identities, sorted.
        codes: (N,) the position of every image's identity in `identities`.
        counts: (I,) images per identity.
        batch_size: images in a batch; set by the subclass, like the next two.
        steps_per_epoch: batches in an epoch.
        images_per_epoch: the smallest number of different images that an epoch shows.
        shortage, origin, epoch_has: texts for the summary at the start: how many identities have too few images, which
            sequences they come from (if batches depend on them), what else an epoch has.
    """

    batch_size: int
    steps_per_epoch: int
    images_per_epoch: int

    def __init__(self, labels: np.ndarray) -> None:
        """Groups the images by their labels (N,)."""
        self.identities, self.codes, self.counts = np.unique(labels, return_inverse=True, return_counts=True)
        # The images of identity i, ascending: _images[_offsets[i] : _offsets[i] + counts[i]].
        self._images = np.argsort(self.codes, kind="stable")
        self._offsets = np.cumsum(self.counts) - self.counts
        self.shortage = f"{int((self.counts == 1).sum())} of them with a single image"
        self.origin = self.epoch_has = ""

    def batch(self, step: int) -> np.ndarray:
        """Indices of the images of batch `step` (step = 0, 1, ...): (batch_size,) int64."""
        raise NotImplementedError

    def _check_triplets_exist(self) -> None:
        """Raises a UserError unless there are two images of one identity and one of another."""
        if len(self.identities) < 2:
            raise UserError(
                f"the training set has only {counted(len(self.identities), 'identity', 'identities')}, but triplets "
                f"need at least 2; add images of another identity"
            )
        if self.counts.max() < 2:
            raise UserError(
                "no identity of the training set has 2 images, so there is no triplet; "
                "add images, or check the identities in train.csv"
            )


def generator(seed: int, stream: int, number: int) -> np.random.Generator:
    """An independent generator for each (seed, stream, number): Philox is counter-based, so this costs microseconds."""
    return np.random.Generator(np.random.Philox(key=[(seed << 1) | stream, number]))


def epoch_order(things: int, batch: int, seed: int, epoch: int) -> np.ndarray:
    """The numbers below `things` (at least `batch`) in a new order for each epoch, with the last batch filled up.

    Returns:
        (ceil(things / batch) * batch,): no number occurs twice in a batch.
    """
    random = generator(seed, ORDER, epoch)
    return fill_up(random.permutation(things), batch, random)


def fill_up(order: np.ndarray, batch: int, random: np.random.Generator) -> np.ndarray:
    """The numbers of `order` (at least `batch`, all different); random other ones fill up the last batch.

    Returns:
        (ceil(len(order) / batch) * batch,): no number occurs twice in a batch.
    """
    missing = -len(order) % batch
    # Numbers before the last batch fill it up: none of them is in it already.
    own = len(order) - (batch - missing)
    return np.concatenate([order, random.choice(order[:own], missing, replace=False)]) if missing else order
