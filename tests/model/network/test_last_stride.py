"""`last_stride: 1`: the last stage, compared with one computed by hand with the weights of the other stride."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.reid_params import params_of, scrambled

from model.network.build import build_embedder, build_network
from model.run.restore import restore_model
from model.training.warm_start import warm_start


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


def inverted_residuals_by_hand(backbone, x, stride):
    """MobileNetV2 from its 13th expansion on, with the weights of a backbone: depthwise, linear, and the next block."""

    def batch_norm(x, name):
        return batch_norm_by_hand(backbone, x, name)

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


def separable_by_hand(backbone, x, stride):
    """MobileNetV1 from its 12th separable convolution on, with the weights of a backbone."""
    for number in (12, 13):
        (depthwise,), (pointwise,) = (
            backbone.get_layer(f"conv_{kind}_{number}").get_weights() for kind in ("dw", "pw")
        )
        step = stride if number == 12 else 1
        x = tf.nn.depthwise_conv2d(x, depthwise, [1, step, step, 1], "SAME")
        x = tf.nn.relu6(batch_norm_by_hand(backbone, x, f"conv_dw_{number}_bn"))
        x = tf.einsum("bhwc,cd->bhwd", x, pointwise[0, 0])
        x = tf.nn.relu6(batch_norm_by_hand(backbone, x, f"conv_pw_{number}_bn"))
    return x


def batch_norm_by_hand(backbone, x, name):
    gamma, beta, mean, variance = backbone.get_layer(name).get_weights()
    return (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta


@pytest.mark.parametrize(
    ("name", "before", "by_hand", "width"),
    [
        ("mobilenet_v1_1_224", "conv_pw_11_relu", separable_by_hand, 1024),
        ("resnet_v1_50", "conv4_block6_out", conv5_by_hand, 2048),
        ("mobilenet_v2", "block_13_expand_relu", inverted_residuals_by_hand, 1280),
    ],
)
def test_the_last_stage_with_either_stride(name, before, by_hand, width, tmp_path):
    """The weights come from a Keras weights file or a checkpoint with the other stride."""
    networks = [build_embedder(params_of(model_type=name, last_stride=stride)) for stride in (2, 1)]
    networks[1].set_weights(networks[0].get_weights())
    two, one = (model.get_layer("backbone") for model in networks)
    assert [weight.path for weight in one.weights] == [weight.path for weight in two.weights]
    assert (two.output_shape, one.output_shape) == ((None, 2, 1, width), (None, 4, 2, width))
    scrambled(two).save_weights(tmp_path / "two.weights.h5")
    original = [weights.copy() for weights in one.get_weights()]
    assert "(backbone)" in warm_start(networks[1], str(tmp_path / "two.weights.h5"))
    np.testing.assert_equal(one.get_weights(), two.get_weights())
    one.set_weights(original)
    parts = {part: networks[0].get_layer(part) for part in ("backbone", "head")}
    restore_model(tf.train.Checkpoint(**parts).save(str(tmp_path / "two")), networks[1])
    np.testing.assert_equal(networks[1].get_weights(), networks[0].get_weights())

    images = np.random.default_rng(1).normal(size=(2, 64, 32, 3)).astype(np.float32)
    inside = [keras.Model(b.input, b.get_layer(before).output)(images).numpy() for b in (two, one)]
    np.testing.assert_array_equal(*inside)  # earlier layers do not change
    assert inside[0].std() > 0.1
    for backbone, stride in ((two, 2), (one, 1)):
        expected = by_hand(backbone, inside[0], stride)
        assert np.std(expected) > 0.1
        np.testing.assert_allclose(backbone(images), expected, rtol=1e-3, atol=1e-3 * np.abs(inside[0]).max())


def test_the_last_stage_by_number_goes_with_last_stride():
    params = params_of(model_type="mobilenet_v2", backbone_stage=5, last_stride=1, image_size=64)
    assert build_network(params).trunk.output_shape == (None, 4, 4, 1280)
