"""GeM pooling whatever `pooling` says, one linear layer, length 1."""

from typing import Any

import keras

from model.network.heads import embedding_layer, gem_pool, normalize


def head(features: keras.KerasTensor, params: Any) -> keras.KerasTensor:
    """(B, h, w, F) -> (B, D), rows of length 1."""
    return normalize(embedding_layer(gem_pool(features, params, name="pool"), params))
