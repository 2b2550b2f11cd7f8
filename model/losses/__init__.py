"""Losses of a batch of embeddings: triplet strategies, and the terms added to them.

`TripletLoss` is the loss for `compile` and `fit` of any Keras model:

    >>> from model.losses import TripletLoss
    >>> loss = TripletLoss("batch_hard", margin=2.0)
    >>> round(float(loss([0, 0, 1, 1], [[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [0.0, 3.0]])), 3)
    0.691
"""

from typing import Any


def __getattr__(name: str) -> Any:
    """`TripletLoss`, imported on demand: listing the strategies needs no TensorFlow."""
    if name == "TripletLoss":
        from model.losses.keras_loss import TripletLoss

        return TripletLoss
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
