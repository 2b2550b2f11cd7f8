"""Uniform batches: images drawn without regard to their identities."""

import functools
from typing import Any

import numpy as np

from dataset.sampling import Sampler, epoch_order
from runtime.errors import UserError


def make(labels: np.ndarray, params: Any, sequences: np.ndarray | None = None) -> "UniformSampler":
    """The sampler for batches of `batch_p` x `batch_k` images. It ignores sequences."""
    return UniformSampler(labels, params.batch_p * params.batch_k, params.seed)


class UniformSampler(Sampler):
    """Batches of B different images.

    An epoch is `ceil(N / B)` batches over N images. Every image is in one of them, in a new order for each epoch;
    random other images fill up the last batch. No image is in a batch twice. The number of positives and negatives of
    an anchor in its batch is random.
    """

    def __init__(self, labels: np.ndarray, batch_size: int, seed: int) -> None:
        """Args:
            labels: (N,) identity of every image.
            batch_size: B.
            seed: 0 <= seed < 2**31.

        Raises:
            UserError: when there are fewer than B images, or no triplet.
        """
        super().__init__(labels)
        self._check_triplets_exist()
        if len(labels) < batch_size:
            raise UserError(
                f"a batch of sampling 'uniform' is batch_p x batch_k = {batch_size} images, but the training set has "
                f"only {len(labels)}; lower batch_p or batch_k"
            )
        self.batch_size = batch_size
        self.steps_per_epoch = -(-len(labels) // batch_size)
        self.images_per_epoch = len(labels)
        self._order = functools.lru_cache(maxsize=2)(lambda epoch: epoch_order(len(labels), batch_size, seed, epoch))

    def batch(self, step: int) -> np.ndarray:
        """Indices of the images of batch `step` (step = 0, 1, ...): (B,) int64."""
        epoch, position = divmod(int(step), self.steps_per_epoch)
        return self._order(epoch)[position * self.batch_size : (position + 1) * self.batch_size].copy()
