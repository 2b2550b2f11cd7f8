"""Heads: features to the embedding, one module each.

A module here is one head. It defines `head(features, params) -> embedding`, from a feature map (B, h, w, F) to (B, D).
The layer that makes the embedding, and all after it, compute in float32 whatever the precision of the backbone.
"""

from typing import Any

import keras


def pool(features: keras.KerasTensor, params: Any) -> keras.KerasTensor:
    """A vector of the feature map, as `pooling` says: (B, h, w, F) -> (B, F) or, flattened, (B, h * w * F)."""
    layers = {
        "average": keras.layers.GlobalAveragePooling2D,
        "max": keras.layers.GlobalMaxPooling2D,
        "flatten": keras.layers.Flatten,
    }
    return layers[params.pooling](name="pool")(features)


def embedding_layer(vector: keras.KerasTensor, params: Any) -> keras.KerasTensor:
    """The linear layer that ends in the embedding: (B, F) -> (B, D) float32, orthogonal at the start."""
    return keras.layers.Dense(
        params.embedding_size, kernel_initializer="orthogonal", dtype="float32", name="embedding"
    )(vector)


def normalize(embedding: keras.KerasTensor) -> keras.KerasTensor:
    """Each embedding divided by its length; finite, with a finite gradient, for the zero vector."""
    return keras.layers.UnitNormalization(dtype="float32", name="normalize")(embedding)
