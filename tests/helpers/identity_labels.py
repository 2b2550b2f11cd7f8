"""Labels of images, and the batches that a sampler makes of them."""

import numpy as np


def labels_of(counts):
    """The label of each image: counts[i] images of the identity id{i}, in this order."""
    return np.repeat([f"id{i}" for i in range(len(counts))], counts).astype(object)


def epoch_of(sampler, epoch):
    """The batches of an epoch: (steps, batch size)."""
    first = epoch * sampler.steps_per_epoch
    return np.stack([sampler.batch(step) for step in range(first, first + sampler.steps_per_epoch)])
