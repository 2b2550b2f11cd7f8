"""Heads: features to the embedding, one module each.

A module here is one head. It defines `head(features, params)`, from a feature map (B, h, w, F) to the embedding (B, D),
or to `HeadOutputs` where training looks at more than the embedding. The layer that makes the embedding, and all after
it, compute in float32 whatever the precision of the backbone.
"""

from typing import NamedTuple

import keras

from model.configuration.params import Params
from model.network.heads._layers import GeneralizedMeanPooling2D, UnitLength


class HeadOutputs(NamedTuple):
    """What a head gives to those who look at it. Every layer with weights lies on the way to the embedding.

    Attributes:
        embedding: (B, D) float32, what the trained network gives: evaluated, compared, written to files.
        triplet: (B, D) float32, what the triplet loss sees, and with it the memory, the centre loss and the log.
        classified: (B, C) float32, what the classifier of the training identities sees.
        classifier_batch_norm: whether the classifier begins with a batch norm of its own.
    """

    embedding: keras.KerasTensor
    triplet: keras.KerasTensor
    classified: keras.KerasTensor
    classifier_batch_norm: bool = True


def pool(features: keras.KerasTensor, params: Params, dtype: str | None = None) -> keras.KerasTensor:
    """A vector of the feature map, as `pooling` says: (B, h, w, F) -> (B, F) or, flattened, (B, h * w * F).

    It is computed in `dtype`; None is that of the backbone. GeM is always float32.
    """
    if params.pooling == "gem":
        return gem_pool(features, params, name="pool")
    layers = {
        "average": keras.layers.GlobalAveragePooling2D,
        "max": keras.layers.GlobalMaxPooling2D,
        "flatten": keras.layers.Flatten,
    }
    return layers[params.pooling](name="pool", dtype=dtype)(features)


def gem_pool(features: keras.KerasTensor, params: Params, name: str) -> keras.KerasTensor:
    """Generalised-mean pooling with `gem_p`, fixed or `gem_learned`: (B, h, w, F) -> (B, F) float32."""
    return GeneralizedMeanPooling2D(params.gem_p, params.gem_learned, name=name)(features)


def embedding_layer(vector: keras.KerasTensor, params: Params) -> keras.KerasTensor:
    """The linear layer that ends in the embedding: (B, F) -> (B, D) float32, orthogonal at the start."""
    return keras.layers.Dense(
        params.embedding_size, kernel_initializer="orthogonal", dtype="float32", name="embedding"
    )(vector)


def normalize(vectors: keras.KerasTensor, name: str = "normalize") -> keras.KerasTensor:
    """Each vector divided by its length; the zero vector stays, with a finite gradient: (B, D) -> (B, D) float32."""
    return UnitLength(name=name)(vectors)
