"""Backbones in parts, whose activations are computed again for the gradient."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from model.configuration.loading import check_params
from model.network import backbones
from model.network.build import build_network
from model.network.recomputation import split
from runtime import plugins

SLOW = ("inception_resnet_v2", "resnet_v1_101", "resnet_v1_50")


@pytest.mark.parametrize(
    "name",
    [pytest.param(x, marks=pytest.mark.slow) if x in SLOW else x for x in plugins.choices(backbones.__name__)],
)
def test_parts_have_all_layers_once_and_the_same_outputs(name):
    params = check_params({"model_type": name, "image_size": 96, "recompute": True}, "test")
    network = build_network(params)
    backbone = network.embedder.get_layer("backbone")
    assert len(network.parts) > 2
    weights = [id(weight) for part in network.parts for weight in part.weights]
    assert sorted(weights) == sorted(id(weight) for weight in backbone.weights)
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3)).astype(np.uint8))
    found = images
    for part in network.parts:
        found = part(found)
    np.testing.assert_allclose(found, network.trunk(images), rtol=1e-5, atol=1e-5)


def test_an_op_is_computed_again_only_in_the_backward_pass():
    """The forward pass of every convolution is there twice, and the second one waits for the gradient."""
    graphs = []
    for recompute in (False, True):
        params = check_params({"image_size": 16, "num_channels": [4, 8], "recompute": recompute}, "test")
        network = build_network(params)

        @tf.function
        def gradient(images, network=network):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(network.in_training(images)[0] ** 2)
            return tape.gradient(loss, network.embedder.trainable_variables)

        graph = gradient.get_concrete_function(tf.TensorSpec((4, 16, 16, 3), tf.uint8)).graph
        graphs.append([op.type for op in graph.get_operations()].count("Conv2D"))
    assert graphs == [2, 4]


def test_parts_of_a_chain_are_of_about_one_size():
    inputs = x = keras.Input((4,))
    for _ in range(16):
        x = keras.layers.Dense(4)(x)
    sizes = [len(part.layers) - 1 for part in split(keras.Model(inputs, x))]
    assert sum(sizes) == 16
    assert (len(sizes), max(sizes)) == (4, 5)
