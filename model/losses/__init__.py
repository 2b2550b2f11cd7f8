"""Embeddings to a loss: distances, triplet strategies, and what is minimised beside them.

`from model.losses import TripletLoss` gives the loss to `compile` a Keras model with.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    """`TripletLoss`, on demand: the names of the strategies are listed without TensorFlow."""
    if name == "TripletLoss":
        from model.losses.keras_loss import TripletLoss

        return TripletLoss
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
