"""Labels of images of so many identities."""

import numpy as np


def labels_of(counts):
    """The label of each image: counts[i] images of the identity id{i}, in this order."""
    return np.repeat([f"id{i}" for i in range(len(counts))], counts).astype(object)
