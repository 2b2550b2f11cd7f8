"""Heads: a feature map to the embedding, one module each. The module's name is the value of the parameter `head`.

A module defines `head(features, params)`, from a feature map (B, h, w, F) to the embedding (B, D), or to `HeadOutputs`
if training uses more than the embedding. The layer that makes the embedding, and all later ones, compute in float32,
whatever the precision of the backbone.

    >>> from model.network.heads import cgd
    >>> cgd.widths(embedding_size=512, descriptors=3)
    [171, 171, 170]
"""

from typing import NamedTuple

import keras

from model.configuration.params import Params
from model.network.heads._layers import GeneralizedMeanPooling2D, UnitLength


class HeadOutputs(NamedTuple):
    """The outputs of a head. The embedding must depend on every layer with weights.

    Attributes:
        embedding: (B, D) float32, the output of the trained network.
        triplet: (B, D) float32, the input of the triplet loss, and of the memory, the centre loss and the log.
        classified: (B, C) float32, the input of the classifier of training identities.
        classifier_batch_norm: whether the classifier begins with its own batch norm.
    """

    embedding: keras.KerasTensor
    triplet: keras.KerasTensor
    classified: keras.KerasTensor
    classifier_batch_norm: bool = True


def pool(features: keras.KerasTensor, params: Params, dtype: str | None = None) -> keras.KerasTensor:
    """The pooled feature map, by `pooling`: (B, h, w, F) -> (B, F) or, flattened, (B, h * w * F).

    It is computed in `dtype`; None is the backbone's dtype. GeM is always float32.
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
    """The linear layer that makes the embedding: (B, F) -> (B, D) float32, with orthogonal initial weights."""
    return keras.layers.Dense(
        params.embedding_size, kernel_initializer="orthogonal", dtype="float32", name="embedding"
    )(vector)


def normalize(vectors: keras.KerasTensor, name: str = "normalize") -> keras.KerasTensor:
    """Each vector divided by its length; the zero vector stays, and has a finite gradient: (B, D) -> (B, D) float32."""
    return UnitLength(name=name)(vectors)
