"""The `direct` head, then length 1."""

from typing import Any

import keras

from model.network.heads import direct, normalize


def head(features: keras.KerasTensor, params: Any) -> keras.KerasTensor:
    """(B, h, w, F) -> (B, D), rows of length 1."""
    return normalize(direct.head(features, params))
