"""Pooled features, one linear layer."""

import keras

from model.configuration.params import Params
from model.network.heads import embedding_layer, pool


def head(features: keras.KerasTensor, params: Params) -> keras.KerasTensor:
    """(B, h, w, F) -> (B, D)."""
    return embedding_layer(pool(features, params), params)
