"""The `direct` head, then length 1."""

import keras

from model.configuration.params import Params
from model.network.heads import direct, normalize


def head(features: keras.KerasTensor, params: Params) -> keras.KerasTensor:
    """(B, h, w, F) -> (B, D), rows of length 1."""
    return normalize(direct.head(features, params))
