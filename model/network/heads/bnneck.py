"""BNNeck: batch norm between the losses (Luo et al., Bag of Tricks for Deep Person Re-identification, section 3.5).

The triplet loss and the centre loss see the pooled features f_t. Batch norm without a bias turns f_t into f_i. f_i is
the embedding, and the input of the classifier, which has no further batch norm. The paper compares f_i by the cosine:
use `bnneck_normalize`, or `metric: "cosine"`, which then also applies to the triplet loss.
"""

import keras

from model.configuration.params import Params
from model.network.heads import HeadOutputs, pool
from runtime.errors import UserError


def head(features: keras.KerasTensor, params: Params) -> HeadOutputs:
    """(B, h, w, F) -> (B, F); F must be `embedding_size`.

    Raises:
        UserError: when the number of pooled features is not `embedding_size`.
    """
    pooled = pool(features, params, dtype="float32")  # f_t
    width = pooled.shape[1]
    if width != params.embedding_size:
        raise UserError(
            f"embedding_size is {params.embedding_size}, but head {params.head!r} has no linear layer: with this "
            f"backbone and pooling, set embedding_size to {width}, the width of the pooled features"
        )
    normed = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, center=False, dtype="float32", name="bnneck")(
        pooled
    )  # f_i
    return HeadOutputs(normed, triplet=pooled, classified=normed, classifier_batch_norm=False)
