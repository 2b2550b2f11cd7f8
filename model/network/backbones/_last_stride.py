"""A network of Keras without its last down-sampling, for `last_stride: 1`."""

from typing import Any

import keras

from model.configuration.params import Params


def with_last_stride(network: keras.Model, params: Params, layers: dict[str, dict[str, Any]]) -> keras.Model:
    """The network itself, or with `last_stride: 1` a copy in which some layers are configured otherwise.

    Layers keep their names, their order and the shapes and values of their weights, so that weights files and
    checkpoints fit both.

    Args:
        network: with the last stride of 2.
        params: the run's parameters.
        layers: what is otherwise with a stride of 1: entries of the configuration, by layer.
    """
    if params.last_stride == 2:
        return network

    def copy(layer: keras.Layer) -> keras.Layer:
        return layer.__class__.from_config(layer.get_config() | layers.get(layer.name, {}))

    changed = keras.models.clone_model(network, clone_function=copy)
    changed.set_weights(network.get_weights())
    return changed
