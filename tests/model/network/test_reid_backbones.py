"""Backbones for person re-identification: `last_stride`, frozen batch norm."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.reid_params import params_of, scrambled

from model.network.build import build_embedder, build_network
from model.run.restore import restore_model
from model.training.warm_start import warm_start
from runtime.errors import UserError


def backbone_of(**values):
    return build_embedder(params_of(**values)).get_layer("backbone")


@pytest.fixture(scope="module")
def resnets():
    """ResNet-50 with a last stride of 2 and of 1, and with the weights of the first, no two batch norms alike."""
    one, two = (backbone_of(model_type="resnet_v1_50", last_stride=stride) for stride in (1, 2))
    return one, scrambled(two)


def conv5_by_hand(backbone, x, stride):
    """conv5 of He et al. with the weights of a backbone: three blocks of 1x1, 3x3, 1x1, the first with a projection."""

    def convolution(x, name, stride=1):
        kernel, bias = backbone.get_layer(f"{name}_conv").get_weights()
        gamma, beta, mean, variance = backbone.get_layer(f"{name}_bn").get_weights()
        x = tf.nn.conv2d(x, kernel, stride, "SAME") + bias
        return (x - mean) / np.sqrt(variance + 1.001e-5) * gamma + beta

    for block in (1, 2, 3):
        name, step = f"conv5_block{block}", stride if block == 1 else 1
        past = convolution(x, f"{name}_0", step) if block == 1 else x
        y = tf.nn.relu(convolution(x, f"{name}_1", step))
        y = tf.nn.relu(convolution(y, f"{name}_2"))
        x = tf.nn.relu(past + convolution(y, f"{name}_3"))
    return x


def test_the_last_stage_of_a_resnet_with_either_stride(resnets):
    one, two = resnets
    assert (two.output_shape, one.output_shape) == ((None, 2, 1, 2048), (None, 4, 2, 2048))
    one.set_weights(two.get_weights())
    images = np.random.default_rng(1).normal(size=(2, 64, 32, 3)).astype(np.float32) * 50
    for backbone, stride in ((two, 2), (one, 1)):
        conv4 = keras.Model(backbone.input, backbone.get_layer("conv4_block6_out").output)(images)
        np.testing.assert_allclose(
            backbone(images), conv5_by_hand(backbone, conv4, stride), rtol=1e-3, atol=1e-3 * np.abs(conv4).max()
        )
    # A 1x1 convolution does not mix places: the projection of stride 1 has that of stride 2 at every second place.
    ends = [keras.Model(b.input, b.get_layer("conv5_block1_0_bn").output)(images).numpy() for b in (one, two)]
    np.testing.assert_allclose(ends[0][:, ::2, ::2], ends[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["mobilenet_v2", pytest.param("resnet_v1_50", marks=pytest.mark.slow)])
def test_both_strides_take_the_same_weights(name, tmp_path):
    """A Keras weights file and a checkpoint written with one stride are read with the other."""
    networks = [build_embedder(params_of(model_type=name, last_stride=stride, seed=stride)) for stride in (1, 2)]
    for number, (source, target) in enumerate([networks, networks[::-1]]):
        assert [w.path.partition("/")[2] for w in source.weights] == [w.path.partition("/")[2] for w in target.weights]
        before = [weights.copy() for weights in target.get_weights()]
        assert any((a != b).any() for a, b in zip(source.get_weights(), before, strict=True))
        file = tmp_path / f"{number}.weights.h5"
        source.get_layer("backbone").save_weights(file)
        assert "(backbone)" in warm_start(target, str(file))
        for a, b in zip(*(x.get_layer("backbone").get_weights() for x in (source, target)), strict=True):
            np.testing.assert_array_equal(a, b)
        target.set_weights(before)
        path = tf.train.Checkpoint(backbone=source.get_layer("backbone"), head=source.get_layer("head")).save(
            str(tmp_path / f"ckpt{number}")
        )
        restore_model(path, target)
        for a, b in zip(source.get_weights(), target.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        target.set_weights(before)


def last_stage_by_hand(backbone, x, stride):
    """MobileNetV2 from its 13th expansion on, with the weights of a backbone: depthwise, linear, and the next block."""

    def batch_norm(x, name):
        gamma, beta, mean, variance = backbone.get_layer(name).get_weights()
        return (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta

    def pointwise(x, name):
        (kernel,) = backbone.get_layer(name).get_weights()
        return tf.einsum("bhwc,cd->bhwd", x, kernel[0, 0])

    for block in (13, 14, 15, 16):
        name, step = f"block_{block}", stride if block == 13 else 1
        before = x
        if block > 13:
            x = tf.nn.relu6(batch_norm(pointwise(x, f"{name}_expand"), f"{name}_expand_BN"))
        (kernel,) = backbone.get_layer(f"{name}_depthwise").get_weights()
        x = tf.nn.depthwise_conv2d(x, kernel, [1, step, step, 1], "SAME")
        x = tf.nn.relu6(batch_norm(x, f"{name}_depthwise_BN"))
        x = batch_norm(pointwise(x, f"{name}_project"), f"{name}_project_BN")
        if block in (14, 15):
            x = before + x
    return tf.nn.relu6(batch_norm(pointwise(x, "Conv_1"), "Conv_1_bn"))


def test_the_last_stage_of_mobilenet_with_either_stride():
    random = np.random.default_rng(1)
    two, one = (backbone_of(model_type="mobilenet_v2", last_stride=stride) for stride in (2, 1))
    one.set_weights(scrambled(two).get_weights())
    assert (two.output_shape, one.output_shape) == ((None, 2, 1, 1280), (None, 4, 2, 1280))
    images = random.normal(size=(2, 64, 32, 3)).astype(np.float32)
    inside = [keras.Model(b.input, b.get_layer("block_13_expand_relu").output)(images).numpy() for b in (two, one)]
    np.testing.assert_array_equal(*inside)  # up to there nothing is changed
    assert inside[0].std() > 0.1
    for backbone, stride in ((two, 2), (one, 1)):
        expected = last_stage_by_hand(backbone, inside[0], stride)
        assert np.std(expected) > 0.1
        np.testing.assert_allclose(backbone(images), expected, rtol=1e-3, atol=1e-4)


def test_equal_seeds_start_with_equal_weights():
    again = [backbone_of(model_type="mobilenet_v2", last_stride=stride).get_weights() for stride in (1, 2)]
    for a, b in zip(*again, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["basic", "inception_resnet_v2"])
def test_backbones_without_the_option_say_so(name):
    with pytest.raises(UserError, match=rf"last_stride is 1, but '{name}' has no such option; .*resnet_v1_50"):
        build_embedder(params_of(model_type=name, last_stride=1))


# batch_norm


def test_frozen_batch_norm_is_that_of_the_weights():
    values = {"image_size": 16, "num_channels": [4, 8], "warm_start_from": "x", "embedding_size": 5, "head": "fc1024"}
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8))
    for frozen in (True, False):
        network = build_network(params_of(batch_norm="frozen" if frozen else "train", **values))
        backbone, head = (network.embedder.get_layer(name) for name in ("backbone", "head"))
        trained = [weight.path for weight in network.embedder.trainable_weights]
        assert any("batch_norm" in path for path in trained if "fc1024" in path)  # the head's own goes on
        assert frozen != any(path.startswith("batch_norm") for path in trained)
        before = [weights.copy() for weights in backbone.get_weights()]
        pixels = tf.cast(images, tf.float32) / 127.5 - 1
        as_used = backbone(pixels, training=False)
        network.in_training(images)
        same = all((a == b).all() for a, b in zip(before, backbone.get_weights(), strict=True))
        assert same == frozen
        assert np.allclose(backbone(pixels, training=True), as_used, atol=1e-6) == frozen
        assert head.get_layer("fc1024_batch_norm").trainable
