"""Batch norm between the losses (Luo et al., Bag of Tricks for Deep Person Re-identification, section 3.5).

The pooled features f_t are what the triplet and the centre loss see. Batch norm without a bias makes f_i of them: what
the classifier sees, without a further batch norm, and the embedding. The paper compares f_i by the cosine: take
`bnneck_normalize`, or `metric: "cosine"`, which then is the triplet loss's as well.
"""

import keras

from model.configuration.params import Params
from model.network.heads import HeadOutputs, pool
from runtime.errors import UserError


def head(features: keras.KerasTensor, params: Params) -> HeadOutputs:
    """(B, h, w, F) -> (B, F), of which there must be `embedding_size`.

    Raises:
        UserError: when the pooled features are not as many.
    """
    pooled = pool(features, params, dtype="float32")  # f_t
    width = pooled.shape[1]
    if width != params.embedding_size:
        raise UserError(
            f"head {params.head!r} has no linear layer: its embedding is as wide as the pooled features, so that "
            f"embedding_size must be {width} with this backbone and pooling, not {params.embedding_size}"
        )
    normed = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, center=False, dtype="float32", name="bnneck")(
        pooled
    )  # f_i
    return HeadOutputs(normed, triplet=pooled, classified=normed, classifier_batch_norm=False)
