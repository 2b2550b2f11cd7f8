"""Which images make batch number `step`: one module per way of sampling.

A module here is one way. It defines

    make(labels, params, sequences=None) -> Sampler

with `labels` (N,), the identity of every training image, the run's parameters, and `sequences` (N,), the sequence of
every image, or None. It raises a UserError where no batch can be made. A sampler is a pure function of (seed, step): no
state is carried from batch to batch, so that resuming a run, repeating it, or sharding it over workers needs nothing
but the step.

Needs no TensorFlow.
"""

import numpy as np

from runtime.errors import UserError

# The streams of random numbers that one seed feeds: the order of an epoch, and what is drawn besides.
ORDER, DRAW = 0, 1


class Sampler:
    """What `make` gives. A way of sampling defines `batch` and sets what its constructor has to.

    Attributes:
        identities: (I,) the different identities, sorted.
        codes: (N,) the position of every image's identity in `identities`.
        counts: (I,) images per identity.
        batch_size: images in a batch; set by the way of sampling, as the next two.
        steps_per_epoch: batches in an epoch.
        images_per_epoch: how many different images an epoch shows at least.
        shortage, origin, epoch_has: words for the summary at the start: how many identities have too few images, which
            sequences they come from (where batches depend on them), what an epoch has besides its steps.
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
                f"the training set has {len(self.identities)} identities; triplets need at least 2: "
                f"add images of another identity"
            )
        if self.counts.max() < 2:
            raise UserError(
                "no identity of the training set has 2 images, so that there is no triplet; "
                "add images, or look whether the identities in train.csv are right"
            )


def generator(seed: int, stream: int, number: int) -> np.random.Generator:
    """An independent generator for each (seed, stream, number): Philox is counter-based, so this costs microseconds."""
    return np.random.Generator(np.random.Philox(key=[(seed << 1) | stream, number]))


def epoch_order(things: int, batch: int, seed: int, epoch: int) -> np.ndarray:
    """Each of `things` >= `batch` numbers in an order new for each epoch, the last batch filled up with other ones.

    Returns:
        (ceil(things / batch) * batch,): no number comes twice in a batch.
    """
    random = generator(seed, ORDER, epoch)
    return fill_up(random.permutation(things), batch, random)


def fill_up(order: np.ndarray, batch: int, random: np.random.Generator) -> np.ndarray:
    """An order of at least `batch` different numbers, the last batch filled up with other ones, drawn at random.

    Returns:
        (ceil(len(order) / batch) * batch,): no number comes twice in a batch.
    """
    missing = -len(order) % batch
    # The filling comes from before the last batch's own numbers, so that none is twice in it.
    own = len(order) - (batch - missing)
    return np.concatenate([order, random.choice(order[:own], missing, replace=False)]) if missing else order
