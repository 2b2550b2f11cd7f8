"""PK batches: P identities with K images each (Hermans et al., In Defense of the Triplet Loss, section 2)."""

import functools
from typing import Any

import numpy as np

from dataset.sampling import DRAW, Sampler, epoch_order, generator
from dataset.sampling._sequences import apart, batches_apart, linked, together
from runtime.counting import counted
from runtime.errors import UserError


def make(labels: np.ndarray, params: Any, sequences: np.ndarray | None = None) -> "PKSampler":
    """The sampler for `batch_p`, `batch_k` and `same_snippet_negatives`."""
    return PKSampler(labels, params.batch_p, params.batch_k, params.seed, sequences, params.same_snippet_negatives)


class PKSampler(Sampler):
    """Batches of P identities with K consecutive images each.

    An epoch is `ceil(I / P)` batches over I identities. Every identity is in one of them, in a new order for each
    epoch; random other identities fill up the last batch. No identity is in a batch twice. An identity with n >= K
    images gives K different ones. With n < K, its images are repeated in one random order until there are K (cyclic
    padding): each is equally likely to occur once more than the others.

    Identities that share a sequence, directly or through others, are siblings. By default no batch has two siblings.
    An epoch then has at least as many batches as the largest group of siblings has members, and every batch may need
    filling up. With `same_snippet_negatives`, siblings are consecutive: nearly all are in the same batch.
    """

    def __init__(
        self,
        labels: np.ndarray,
        batch_p: int,
        batch_k: int,
        seed: int,
        sequences: np.ndarray | None = None,
        same_snippet_negatives: bool = False,
    ) -> None:
        """Args:
            labels: (N,) identity of every image.
            batch_p, batch_k: P and K.
            seed: 0 <= seed < 2**31.
            sequences: (N,) sequence of every image, empty for none; or None.
            same_snippet_negatives: siblings together instead of in different batches.

        Raises:
            UserError: when there are fewer than P identities, or fewer than P without siblings among them.
        """
        super().__init__(labels)
        if len(self.identities) == 1:
            raise UserError(
                "the training set has only one identity, but triplets need at least 2; add some to train.csv"
            )
        if len(self.identities) < batch_p:
            raise UserError(
                f"batch_p is {batch_p}, but the training set has only {len(self.identities)} identities; "
                f"lower batch_p or add identities"
            )
        self._p, self._k, self._seed = batch_p, batch_k, seed
        self.batch_size = batch_p * batch_k
        self.steps_per_epoch = -(-len(self.identities) // batch_p)
        self.images_per_epoch = int(np.minimum(self.counts, batch_k).sum())  # filling up the last batch may add others
        self.shortage = f"{int((self.counts < batch_k).sum())} of them with fewer than K = {batch_k}"
        siblings = linked(self.codes, sequences)  # (I,)
        separate = int(siblings.max()) + 1
        if separate == len(self.identities):
            order = functools.partial(epoch_order, separate, batch_p, seed)
            if same_snippet_negatives:
                self.origin = "(no two share a sequence: same_snippet_negatives changes nothing)"
        elif same_snippet_negatives:
            order = functools.partial(together, siblings, batch_p, seed)
            self.origin = f"of {counted(separate, 'separate sequence')}, identities of one sequence together"
        elif separate >= batch_p:
            order = functools.partial(apart, siblings, batch_p, seed)
            self.origin = f"of {separate:,} separate sequences, at most one identity of each in a batch"
            self.steps_per_epoch = batches_apart(siblings, batch_p)
        else:
            raise UserError(
                f"batch_p is {batch_p}, but the {len(self.identities)} identities of the training set are from only "
                f"{counted(separate, 'separate sequence')} (snippets); "
                f"lower batch_p or set same_snippet_negatives to true"
            )
        self._order = functools.lru_cache(maxsize=2)(order)

    def batch(self, step: int) -> np.ndarray:
        """Indices of the images of batch `step` (step = 0, 1, ...): (P * K,) int64, K consecutive ones per identity."""
        epoch, position = divmod(int(step), self.steps_per_epoch)
        chosen = self._order(epoch)[position * self._p : (position + 1) * self._p]  # (P,)
        picks = _draw_images(self.counts[chosen], self._k, generator(self._seed, DRAW, step))  # (P, K)
        return self._images[self._offsets[chosen][:, None] + picks].reshape(-1)


def _draw_images(counts: np.ndarray, k: int, random: np.random.Generator) -> np.ndarray:
    """For each count n, K indices below n: (P,) -> (P, K)."""
    picks = np.empty((len(counts), k), dtype=np.int64)
    # Floyd's algorithm for all identities at once: K different numbers below n, without a permutation of n.
    draws = random.random((len(counts), k))
    for column in range(k):
        upper = counts - k + column  # draw from 0 .. upper; if taken, upper itself is free
        pick = (draws[:, column] * (upper + 1)).astype(np.int64)
        taken = (picks[:, :column] == pick[:, None]).any(axis=1)
        picks[:, column] = np.where(taken, upper, pick)
    for row in np.flatnonzero(counts < k):
        n = int(counts[row])
        picks[row] = np.resize(random.permutation(n), k)
    return picks
