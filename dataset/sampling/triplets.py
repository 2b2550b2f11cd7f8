"""Offline triplets: batches of given triples (anchor, positive, negative), random or mined before an epoch.

Source: Schroff et al., FaceNet, section 3.2, "generate triplets offline every n steps".
"""

import functools
from typing import Any

import numpy as np

from dataset.sampling import DRAW, Sampler, epoch_order, generator
from runtime.errors import UserError


def make(labels: np.ndarray, params: Any, sequences: np.ndarray | None = None) -> "TripletSampler":
    """The sampler for batches of (`batch_p` x `batch_k`) // 3 triples, whatever their sequences; see its docstring."""
    return TripletSampler(labels, params.batch_p * params.batch_k // 3, params.seed)


class TripletSampler(Sampler):
    """Batches of T triples, as 3 T images: anchor, positive, negative, anchor, positive, negative, ...

    In an epoch each of the A images whose identity has another one is the anchor of one triple. Its positive is drawn
    from the other images of its identity, its negative from the images of all others, each image being equally likely.
    An epoch is `ceil(A / T)` batches, in an order that is new for each epoch; the last one is filled up with other
    triples of the epoch. No triple comes twice in a batch. Batches are a pure function of (seed, step), and of the
    triples that `use` was given.

    Attributes, besides those of a `Sampler`:
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
            raise UserError("batch_p x batch_k is less than 3, which makes no triple; raise batch_p or batch_k")
        self._check_triplets_exist()
        self.anchors = np.flatnonzero(self.counts[self.codes] >= 2)
        if len(self.anchors) < batch_triples:
            raise UserError(
                f"a batch of sampling 'triplets' is batch_p x batch_k / 3 = {batch_triples} triples, but only "
                f"{len(self.anchors)} images can be anchors (their identity has another image); "
                f"lower batch_p or batch_k"
            )
        self._rank = np.empty(len(self.codes), np.int64)  # where an image comes in its identity's group
        self._rank[self._images] = np.arange(len(self.codes)) - self._offsets[self.codes[self._images]]
        self._t, self._seed = batch_triples, seed
        self.batch_size = 3 * batch_triples
        self.steps_per_epoch = -(-len(self.anchors) // batch_triples)
        self.images_per_epoch = len(self.anchors)  # at least: chance decides on other negatives
        self.epoch_has = f" with {len(self.anchors):,} triples"
        # `batch` runs in a thread of tf.data: `use` puts a new dictionary in the old one's place and changes none.
        self._given: dict[int, np.ndarray] = {}
        self._drawn = functools.lru_cache(maxsize=2)(lambda epoch: self._in_order(epoch, self._draw(epoch)))

    def batch(self, step: int) -> np.ndarray:
        """Indices of the images of batch `step` (step = 0, 1, ...): (3 T,) int64, a triple's three together."""
        epoch, position = divmod(int(step), self.steps_per_epoch)
        given = self._given.get(epoch)
        triples = self._drawn(epoch) if given is None else given
        return triples[position * self._t : (position + 1) * self._t].flatten()  # (T, 3) -> (3 T,)

    def use(self, epoch: int, triples: np.ndarray) -> None:
        """Makes batches of these triples in `epoch` from now on, in the epoch's own order.

        What tf.data has already fetched stays as it was: give an epoch's triples before its first batch is asked for.
        The two epochs last given are kept.

        Args:
            epoch: 0, 1, ...; step `epoch * steps_per_epoch` is its first.
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
        """The triples of an epoch (A, 3), by anchor, to those of its batches: (steps_per_epoch * T, 3)."""
        return triples[epoch_order(len(self.anchors), self._t, self._seed, epoch)]

    def _draw(self, epoch: int) -> np.ndarray:
        """Random triples for all anchors, in their order: (A, 3)."""
        random = generator(self._seed, DRAW, epoch)
        identity = self.codes[self.anchors]
        start, count = self._offsets[identity], self.counts[identity]  # (A,)
        # Positions in `groups.images`: each draw is from a range without the forbidden part, then stepped over it.
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
            raise ValueError("triples must have each image that has a positive as an anchor once")
        if (self.codes[anchor] != self.codes[positive]).any() or (anchor == positive).any():
            raise ValueError("a positive must be another image of its anchor's identity")
        if (self.codes[anchor] == self.codes[negative]).any():
            raise ValueError("a negative must be an image of another identity than its anchor's")
