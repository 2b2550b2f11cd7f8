"""The `bnneck` head with an embedding of length 1: its Euclidean distance ranks like the cosine distance of f_i.

The triplet loss and the classifier have the same inputs as with `bnneck`.
"""

import keras

from model.configuration.params import Params
from model.network.heads import HeadOutputs, bnneck, normalize


def head(features: keras.KerasTensor, params: Params) -> HeadOutputs:
    """(B, h, w, F) -> (B, F), rows of length 1.

    Raises:
        UserError: when F is not `embedding_size`.
    """
    outputs = bnneck.head(features, params)
    return outputs._replace(embedding=normalize(outputs.embedding))
