"""Pooled features, a dense layer of 1024 with batch norm and ReLU, one linear layer (Hermans et al., section 4.1)."""

import keras

from model.configuration.params import Params
from model.network.heads import embedding_layer, pool


def head(features: keras.KerasTensor, params: Params) -> keras.KerasTensor:
    """(B, h, w, F) -> (B, D)."""
    x = keras.layers.Dense(1024, use_bias=False, name="fc1024")(pool(features, params))  # batch norm has a bias
    x = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name="fc1024_batch_norm")(x)
    return embedding_layer(keras.layers.ReLU(name="fc1024_relu")(x), params)
