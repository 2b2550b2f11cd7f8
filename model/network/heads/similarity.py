"""The reference model of image ranking: 1x1 convolutions keep the positions, and a dense layer weighs them.

1x1 convolutions to 512 and 128 channels with ReLU, flattening, a dense layer of 1024 with swish, batch norm, one linear
layer. Its size depends on the number of positions, so it works for one `image_size` only. `pooling` has no effect.
"""

import keras

from model.configuration.params import Params
from model.network.heads import embedding_layer


def head(features: keras.KerasTensor, params: Params) -> keras.KerasTensor:
    """(B, h, w, F) -> (B, D)."""
    x = keras.layers.Conv2D(512, 1, activation="relu", name="similarity_conv_0")(features)  # (B, h, w, 512)
    x = keras.layers.Conv2D(128, 1, activation="relu", name="similarity_conv_1")(x)  # (B, h, w, 128)
    x = keras.layers.Flatten(name="similarity_flatten")(x)  # (B, h * w * 128)
    x = keras.layers.Dense(1024, activation="swish", name="similarity_dense")(x)
    x = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name="similarity_batch_norm")(x)
    return embedding_layer(x, params)
