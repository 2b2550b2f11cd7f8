"""Offline triplets: batches of triples (anchor, positive, negative), drawn at random or mined before each epoch.

Source: Schroff et al., FaceNet, section 3.2, "generate triplets offline every n steps".
"""

import functools
from typing import Any

import numpy as np

from dataset.sampling import DRAW, Sampler, epoch_order, generator
from runtime.errors import UserError


def make(labels: np.ndarray, params: Any, sequences: np.ndarray | None = None) -> "TripletSampler":
    """The sampler for batches of (`batch_p` x `batch_k`) // 3 triples. It ignores sequences."""
    return TripletSampler(labels, params.batch_p * params.batch_k // 3, params.seed)


class TripletSampler(Sampler):
    """Batches of T triples, as 3 T images: anchor, positive, negative, anchor, positive, negative, ...

    An anchor is an image whose identity has another image. In an epoch, each of the A anchors is in one triple. Its
    positive is drawn uniformly from the other images of its identity, its negative from the images of all other
    identities. An epoch is `ceil(A / T)` batches, in a new order for each epoch; other triples of the epoch fill up the
    last batch. No triple is in a batch twice. Batches are a pure function of (seed, step) and of the triples given to
    `use`.

    Attributes, in addition to those of a `Sampler`:
        anchors: (A,) indices of the images that have a positive, ascending.
    """

    def __init__(self, labels: np.ndarray, batch_triples: int, seed: int) -> None:
        """Args:
            labels: (N,) identity of every image.
            batch_triples: T.
            seed: 0 <= seed < 2**31.

        Raises:
            UserError: when T < 1, or there are fewer than T anchors, or no triplet at all.
        """
        super().__init__(labels)
        if batch_triples < 1:
            raise UserError("batch_p x batch_k is less than 3, the size of a triple; raise batch_p or batch_k")
        self._check_triplets_exist()
        self.anchors = np.flatnonzero(self.counts[self.codes] >= 2)
        if len(self.anchors) < batch_triples:
            raise UserError(
                f"a batch of sampling 'triplets' is batch_p x batch_k / 3 = {batch_triples} triples, but only "
                f"{len(self.anchors)} images can be anchors (their identity has another image); "
                f"lower batch_p or batch_k"
            )
        self._rank = np.empty(len(self.codes), np.int64)  # position of an image among those of its identity
        self._rank[self._images] = np.arange(len(self.codes)) - self._offsets[self.codes[self._images]]
        self._t, self._seed = batch_triples, seed
        self.batch_size = 3 * batch_triples
        self.steps_per_epoch = -(-len(self.anchors) // batch_triples)
        self.images_per_epoch = len(self.anchors)  # at least: random negatives may add others
        self.epoch_has = f" with {len(self.anchors):,} triples"
        # `batch` runs in a thread of tf.data: `use` replaces this dictionary and never changes it.
        self._given: dict[int, np.ndarray] = {}
        self._drawn = functools.lru_cache(maxsize=2)(lambda epoch: self._in_order(epoch, self._draw(epoch)))

    def batch(self, step: int) -> np.ndarray:
        """Indices of the images of batch `step` (step = 0, 1, ...): (3 T,) int64, triple after triple."""
        epoch, position = divmod(int(step), self.steps_per_epoch)
        given = self._given.get(epoch)
        triples = self._drawn(epoch) if given is None else given
        return triples[position * self._t : (position + 1) * self._t].flatten()  # (T, 3) -> (3 T,)

    def use(self, epoch: int, triples: np.ndarray) -> None:
        """Sets the triples of an epoch. Their order in the batches is that of the epoch.

        Batches that tf.data has already fetched do not change: call this before the first batch of the epoch is
        fetched. The triples of the last two epochs are kept.

        Args:
            epoch: 0, 1, ...; its first step is `epoch * steps_per_epoch`.
            triples: (A, 3) indices of anchor, positive and negative; each anchor once, in any order.

        Raises:
            ValueError: when they are not triples of these images.
        """
        triples = np.asarray(triples)
        self._check(triples)
        triples = triples[np.argsort(triples[:, 0])].astype(np.int64)
        last = list(self._given.items())[-1:]
        self._given = {key: value for key, value in last if key != epoch} | {epoch: self._in_order(epoch, triples)}

    def _in_order(self, epoch: int, triples: np.ndarray) -> np.ndarray:
        """(A, 3) triples in the order of the anchors -> (steps_per_epoch * T, 3) in the order of the batches."""
        return triples[epoch_order(len(self.anchors), self._t, self._seed, epoch)]

    def _draw(self, epoch: int) -> np.ndarray:
        """(A, 3) random triples, in the order of the anchors."""
        random = generator(self._seed, DRAW, epoch)
        identity = self.codes[self.anchors]
        start, count = self._offsets[identity], self.counts[identity]  # (A,)
        # Positions in `self._images`. Each draw is from a range shortened by the forbidden part, then skips that part.
        positive = random.integers(0, count - 1)
        positive += positive >= self._rank[self.anchors]
        negative = random.integers(0, len(self.codes) - count)
        negative += np.where(negative >= start, count, 0)
        return np.stack([self.anchors, self._images[start + positive], self._images[negative]], axis=1)

    def _check(self, triples: np.ndarray) -> None:
        """Raises a ValueError unless these are triples of these images."""
        shape = (len(self.anchors), 3)
        if triples.shape != shape or triples.dtype.kind not in "iu":
            raise ValueError(f"triples must be {shape} integers, not {triples.shape} {triples.dtype}")
        if triples.min() < 0 or triples.max() >= len(self.codes):
            raise ValueError(f"triples must be indices of the {len(self.codes)} training images")
        anchor, positive, negative = triples.T
        if not np.array_equal(np.sort(anchor), self.anchors):
            raise ValueError("each image with a positive must be the anchor of one triple")
        if (self.codes[anchor] != self.codes[positive]).any() or (anchor == positive).any():
            raise ValueError("a positive must be another image of the anchor's identity")
        if (self.codes[anchor] == self.codes[negative]).any():
            raise ValueError("a negative must have another identity than its anchor")
