"""Pooled features, one linear layer."""

from typing import Any

import keras

from model.network.heads import embedding_layer, pool


def head(features: keras.KerasTensor, params: Any) -> keras.KerasTensor:
    """(B, h, w, F) -> (B, D)."""
    return embedding_layer(pool(features, params), params)
