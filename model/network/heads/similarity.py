"""The reference model of image ranking: convolutions of 1x1 keep the places, a dense layer weighs them.

1x1 convolutions of 512 and 128 with ReLU, flattened, a dense layer of 1024 with swish, batch norm, one linear layer.
As its layers are as many as there are places, it is bound to one `image_size`. `pooling` has no effect on it.
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
