"""PK sampling: which images make batch number `step`, as a pure function of (seed, step).

No state is carried from batch to batch, so that resuming a run, repeating it, or sharding it over workers needs
nothing but the step. (PK batches: Hermans et al., In Defense of the Triplet Loss, section 2.)
"""

import functools

import numpy as np

from dataset.errors import UserError

# The streams of random numbers that one seed feeds are kept apart by these tags.
_EPOCH, _STEP = 0, 1


class PKSampler:
    """Batches of P identities with K images each.

    An epoch is `ceil(I / P)` batches over I identities: every identity comes in one of them, in an order that is new
    for each epoch; the last batch is filled up with other identities, drawn at random. No identity comes twice in a
    batch. Of an identity with n >= K images K different ones are drawn; with n < K images all of them, then again from
    the start in a random order (cyclic padding), so that each is equally likely to come once more.

    Attributes:
        identities: (I,) the different identities, sorted.
        steps_per_epoch: ceil(I / P).
    """

    def __init__(self, labels: np.ndarray, batch_p: int, batch_k: int, seed: int) -> None:
        """Args:
            labels: (N,) identity of every image.
            batch_p, batch_k: P and K.
            seed: 0 <= seed < 2**31.

        Raises:
            UserError: when there are fewer than P identities.
        """
        self.identities, codes, self.counts = np.unique(labels, return_inverse=True, return_counts=True)
        if len(self.identities) < batch_p:
            raise UserError(
                f"batch_p is {batch_p}, but the training set has only {len(self.identities)} identities; "
                f"set batch_p to at most that"
            )
        # Images of identity i: images[offsets[i] : offsets[i] + counts[i]] (CSR form).
        self._images = np.argsort(codes, kind="stable")
        self._offsets = np.concatenate([[0], np.cumsum(self.counts)[:-1]])
        self.codes = codes
        self._p, self._k, self._seed = batch_p, batch_k, seed
        self.steps_per_epoch = -(-len(self.identities) // batch_p)
        self._epoch_order = functools.lru_cache(maxsize=2)(self._draw_epoch_order)

    def batch(self, step: int) -> np.ndarray:
        """Indices of the images of batch `step` (step = 0, 1, ...): (P * K,) int64, the K of an identity together."""
        epoch, position = divmod(int(step), self.steps_per_epoch)
        chosen = self._epoch_order(epoch)[position * self._p : (position + 1) * self._p]  # (P,)
        generator = _generator(self._seed, _STEP, step)
        picks = _draw_images(self.counts[chosen], self._k, generator)  # (P, K)
        return self._images[self._offsets[chosen][:, None] + picks].reshape(-1)

    def images_per_epoch(self) -> int:
        """How many different images an epoch shows at most, for the summary at the start."""
        return int(np.minimum(self.counts, self._k).sum())

    def _draw_epoch_order(self, epoch: int) -> np.ndarray:
        """The identities of an epoch in order, the last batch filled up: (steps_per_epoch * P,)."""
        generator = _generator(self._seed, _EPOCH, epoch)
        order = generator.permutation(len(self.identities))
        missing = self.steps_per_epoch * self._p - len(order)
        # The filling comes from before the last batch's own identities, so that none is twice in it.
        own = len(order) - (self._p - missing)
        return np.concatenate([order, generator.choice(order[:own], missing, replace=False)]) if missing else order


def _draw_images(counts: np.ndarray, k: int, generator: np.random.Generator) -> np.ndarray:
    """For each count n, K indices below n: (P,) -> (P, K)."""
    picks = np.empty((len(counts), k), dtype=np.int64)
    # Floyd's algorithm, all identities at once: K different numbers below n without a permutation of n.
    draws = generator.random((len(counts), k))
    for column in range(k):
        upper = counts - k + column  # draw from 0 .. upper; if taken, upper itself is free
        pick = (draws[:, column] * (upper + 1)).astype(np.int64)
        taken = (picks[:, :column] == pick[:, None]).any(axis=1)
        picks[:, column] = np.where(taken, upper, pick)
    for row in np.flatnonzero(counts < k):
        n = int(counts[row])
        picks[row] = np.resize(generator.permutation(n), k)
    return picks


def _generator(seed: int, stream: int, number: int) -> np.random.Generator:
    """An independent generator for each (seed, stream, number): Philox is counter-based, so this costs microseconds."""
    return np.random.Generator(np.random.Philox(key=[(seed << 1) | stream, number]))
