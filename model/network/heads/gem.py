"""GeM pooling (whatever `pooling` is), one linear layer, length 1."""

import keras

from model.configuration.params import Params
from model.network.heads import embedding_layer, gem_pool, normalize


def head(features: keras.KerasTensor, params: Params) -> keras.KerasTensor:
    """(B, h, w, F) -> (B, D), rows of length 1."""
    return normalize(embedding_layer(gem_pool(features, params, name="pool"), params))
