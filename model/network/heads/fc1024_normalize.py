"""The `fc1024` head, then length 1."""

import keras

from model.configuration.params import Params
from model.network.heads import fc1024, normalize


def head(features: keras.KerasTensor, params: Params) -> keras.KerasTensor:
    """(B, h, w, F) -> (B, D), rows of length 1."""
    return normalize(fc1024.head(features, params))
