"""Parameters for person re-identification: upright images, small batches. Networks without two equal layers."""

import keras
import numpy as np

from model.configuration.loading import check_params


def params_of(**values):
    """These values and the defaults, checked."""
    return check_params({"image_size": [64, 32], "batch_p": 2, "batch_k": 2} | values, "x")


def scrambled(model: keras.Model) -> keras.Model:
    """The model, with no two batch norms alike, and activations of about 1."""
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    return model
