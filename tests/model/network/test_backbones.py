"""Backbones: features of Keras's own, `backbone_stage` (an earlier stage), `last_stride`, frozen batch norm."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.reid_params import params_of, scrambled
from keras.applications import inception_resnet_v2, mobilenet_v2, resnet
from PIL import Image

from model.network.build import build_embedder, build_network
from model.run.restore import restore_model
from model.training.warm_start import warm_start
from runtime.errors import UserError

# What the papers and Keras say of each stage: the layer it ends with, its features.
ENDS = {
    "mobilenet_v2": {
        1: ("expanded_conv_project_BN", 16),
        2: ("block_2_add", 24),
        3: ("block_5_add", 32),
        4: ("block_12_add", 96),
        5: ("out_relu", 1280),
    },
    "resnet_v1_50": {
        1: ("conv1_relu", 64),
        2: ("conv2_block3_out", 256),
        3: ("conv3_block4_out", 512),
        4: ("conv4_block6_out", 1024),
        5: ("conv5_block3_out", 2048),
    },
    "resnet_v1_101": {4: ("conv4_block23_out", 1024)},
    "inception_resnet_v2": {3: ("block35_10_ac", 320), 4: ("block17_20_ac", 1088), 5: ("conv_7b_ac", 1536)},
    "basic": {1: ("pool_0", 4), 2: ("pool_1", 6), 3: ("pool_2", 5)},
}
KERAS = {
    "mobilenet_v2": (mobilenet_v2.MobileNetV2, mobilenet_v2.preprocess_input),
    "resnet_v1_50": (resnet.ResNet50, resnet.preprocess_input),
    "resnet_v1_101": (resnet.ResNet101, resnet.preprocess_input),
    "inception_resnet_v2": (inception_resnet_v2.InceptionResNetV2, inception_resnet_v2.preprocess_input),
}
slow = pytest.mark.slow


def network_of(name, stage, side=64, **values):
    values = {"image_size": side, "num_channels": [4, 6, 5], "embedding_size": 7, "seed": stage or 9} | values
    return build_network(params_of(model_type=name, backbone_stage=stage, **values))


def parts_of(model):
    return {name: model.get_layer(name) for name in ("backbone", "head")}


def save_checkpoint(model, path):
    return tf.train.Checkpoint(**parts_of(model)).save(str(path))


@pytest.mark.parametrize(
    ("name", "stages", "side"),
    [
        ("mobilenet_v2", (4, None), 64),
        pytest.param("mobilenet_v2", (1, 2, 3, 5), 64, marks=slow),
        ("resnet_v1_50", (4, None), 64),
        pytest.param("resnet_v1_50", (1, 2, 3, 5), 64, marks=slow),
        pytest.param("resnet_v1_101", (4,), 64, marks=slow),
        pytest.param("inception_resnet_v2", (3, 4, 5), 96, marks=slow),
        ("basic", (1, 2, 3), 64),
    ],
)
def test_a_stage_is_what_lies_inside_the_whole_network(name, stages, side, tmp_path):
    """A weights file of the whole network, written by Keras's own, is read; the features are those inside of it."""
    if name == "basic":
        whole, preprocess = network_of(name, None).embedder.get_layer("backbone"), None
    else:
        constructor, preprocess = KERAS[name]
        whole = scrambled(constructor(include_top=False, weights=None, input_shape=(side, side, 3)))
    whole.save_weights(tmp_path / "whole.weights.h5")
    random = np.random.default_rng(1)
    images = random.normal(size=(2, side, side, 3)).astype(np.float32)
    pixels = random.integers(0, 256, (2, side, side, 3), np.uint8)
    for stage in stages:
        layer, width = ENDS[name][stage or 5]
        network = network_of(name, stage, side)
        backbone = network.embedder.get_layer("backbone")
        said = warm_start(network.embedder, str(tmp_path / "whole.weights.h5"))
        assert f"{len(backbone.weights)} of {len(backbone.weights) + 2} variables (backbone)" in said
        inside = keras.Model(whole.input, whole.get_layer(layer).output)
        features = backbone(images)
        np.testing.assert_array_equal(features, inside(images))
        if preprocess:
            expected = inside(preprocess(pixels.astype(np.float32)))
            np.testing.assert_allclose(network.trunk(pixels), expected, rtol=1e-4, atol=1e-4)
        assert len(backbone.weights) == len(inside.weights)
        places = side // 2 ** (stage or 5)
        about = 3 if name == "inception_resnet_v2" else 0  # its convolutions leave out the margin
        assert features.shape[-1] == width
        assert places - about <= features.shape[1] <= places
        assert np.isfinite(features).all()
        assert np.std(features) > 0


def test_golden_features(shared_data):
    """Features of a real photograph with real weights, through warm_start_from and by hand."""
    weights = str(shared_data / "weights" / "mobilenet_v2_1.0_imagenet_notop.weights.h5")
    with Image.open(next((shared_data / "vid_frames").glob("*/000000.JPEG"))) as image:
        photo = np.asarray(image.convert("RGB").resize((224, 224)))[None]
    network = network_of("mobilenet_v2", None, 224)
    theirs = mobilenet_v2.MobileNetV2(include_top=False, weights=weights, input_shape=(224, 224, 3))
    said = warm_start(network.embedder, weights)
    assert f"{len(theirs.weights)} of {len(theirs.weights) + 2} variables" in said
    expected = theirs(mobilenet_v2.preprocess_input(photo.astype(np.float32))).numpy()
    np.testing.assert_allclose(network.trunk(photo), expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 0.1


@pytest.mark.parametrize(
    ("name", "stage", "side"),
    [("mobilenet_v2", 4, 64), ("basic", 2, 64), pytest.param("inception_resnet_v2", 4, 96, marks=slow)],
)
def test_checkpoints_of_other_stages(name, stage, side, tmp_path):
    """A run with the whole backbone gives an earlier stage its weights; the other way there are none for the rest."""
    whole, part = (network_of(name, number, side).embedder for number in (None, stage))
    paths = [save_checkpoint(model, tmp_path / f"ckpt{number}") for number, model in enumerate((whole, part))]
    saved = [n for n, _ in tf.train.list_variables(paths[1]) if n.startswith("backbone/")]
    backbone, head = parts_of(part).values()
    assert len(saved) == len(backbone.weights)  # nothing of the later stages
    before = [weights.copy() for weights in head.get_weights()]
    said = warm_start(part, paths[0])
    assert "(backbone)" in said
    assert "the head starts anew" in said
    np.testing.assert_equal(head.get_weights(), before)
    images = np.random.default_rng(1).normal(size=(2, side, side, 3)).astype(np.float32)
    origin = whole.get_layer("backbone")
    inside = keras.Model(origin.input, origin.get_layer(ENDS[name][stage][0]).output)
    np.testing.assert_array_equal(backbone(images), inside(images))

    with pytest.raises(UserError, match=r"no variables of this network match .* another model_type or backbone_stage"):
        warm_start(whole, paths[1])
    with pytest.raises(UserError, match="another architecture"):
        restore_model(paths[1], whole)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model_type": "basic", "backbone_stage": 4}, "4, but 'basic' has the stages 1, 2 and 3; .* or null"),
        ({"model_type": "basic", "backbone_stage": 2, "num_channels": [4]}, "2, but 'basic' has stage 1 only"),
        ({"model_type": "inception_resnet_v2", "backbone_stage": 2}, "'inception_resnet_v2' has the stages 3, 4 and 5"),
        ({"model_type": "mobilenet_v2", "backbone_stage": 4, "last_stride": 1}, "last_stride 1 has no effect with"),
        ({"model_type": "resnet_v1_50", "backbone_stage": 1, "last_stride": 1}, "backbone_stage 1, which ends before"),
        ({"model_type": "basic", "last_stride": 1}, "last_stride is 1, but 'basic' has no such option; .*resnet_v1_50"),
        ({"model_type": "inception_resnet_v2", "last_stride": 1}, "'inception_resnet_v2' has no such option"),
    ],
)
def test_stages_and_strides_that_cannot_be(values, message):
    with pytest.raises(UserError, match=message):
        build_embedder(params_of(**{"image_size": 96, "num_channels": [4, 6, 5]} | values))


# last_stride


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


@pytest.mark.parametrize(
    ("name", "before", "by_hand", "width"),
    [
        ("resnet_v1_50", "conv4_block6_out", conv5_by_hand, 2048),
        ("mobilenet_v2", "block_13_expand_relu", inverted_residuals_by_hand, 1280),
    ],
)
def test_the_last_stage_with_either_stride(name, before, by_hand, width, tmp_path):
    """The same weights, read from a Keras weights file or a checkpoint of the other stride, give what they should."""
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
    restore_model(save_checkpoint(networks[0], tmp_path / "two"), networks[1])
    np.testing.assert_equal(networks[1].get_weights(), networks[0].get_weights())

    images = np.random.default_rng(1).normal(size=(2, 64, 32, 3)).astype(np.float32)
    inside = [keras.Model(b.input, b.get_layer(before).output)(images).numpy() for b in (two, one)]
    np.testing.assert_array_equal(*inside)  # up to there nothing is changed
    assert inside[0].std() > 0.1
    for backbone, stride in ((two, 2), (one, 1)):
        expected = by_hand(backbone, inside[0], stride)
        assert np.std(expected) > 0.1
        np.testing.assert_allclose(backbone(images), expected, rtol=1e-3, atol=1e-3 * np.abs(inside[0]).max())


def test_the_last_stage_by_number_goes_with_last_stride():
    assert network_of("mobilenet_v2", 5, last_stride=1).trunk.output_shape == (None, 4, 4, 1280)


# batch_norm


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_batch_norm_is_that_of_the_weights(frozen):
    values = {"image_size": 16, "num_channels": [4, 8], "warm_start_from": "x", "embedding_size": 5, "head": "fc1024"}
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8))
    network = build_network(params_of(batch_norm="frozen" if frozen else "train", **values))
    backbone, head = parts_of(network.embedder).values()
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
