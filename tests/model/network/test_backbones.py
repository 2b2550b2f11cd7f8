"""Backbones: features equal to Keras's, `backbone_stage` (an earlier stage), frozen batch norm."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.reid_params import params_of, scrambled
from keras.applications import inception_resnet_v2, mobilenet, mobilenet_v2, resnet
from PIL import Image

from model.network.build import build_embedder, build_network
from model.run.restore import restore_model
from model.training.warm_start import warm_start
from runtime.errors import UserError

# The last layer and the features of each stage, from the papers and Keras.
ENDS = {
    "mobilenet_v1_1_224": {
        1: ("conv_pw_1_relu", 64),
        2: ("conv_pw_3_relu", 128),
        3: ("conv_pw_5_relu", 256),
        4: ("conv_pw_11_relu", 512),
        5: ("conv_pw_13_relu", 1024),
    },
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
    "mobilenet_v1_1_224": (mobilenet.MobileNet, mobilenet.preprocess_input),
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
        ("mobilenet_v1_1_224", (1, 4, None), 64),
        pytest.param("mobilenet_v1_1_224", (2, 3, 5), 64, marks=slow),
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
    """Reads a weights file of Keras's whole network; the features equal those of its inner layer."""
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
        about = 3 if name == "inception_resnet_v2" else 0  # its convolutions have no padding
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


def test_mobilenet_v1_takes_the_weights_for_224(tmp_path, monkeypatch):
    """Keras would take other weights for images of 128 x 128."""
    theirs, asked = scrambled(mobilenet.MobileNet(include_top=False, weights=None, input_shape=(224, 224, 3))), []
    theirs.save_weights(tmp_path / "x.weights.h5")

    def get_file(name, *_, **__):
        asked.append(name)
        return str(tmp_path / "x.weights.h5")

    monkeypatch.setattr("keras.src.applications.mobilenet.file_utils.get_file", get_file)
    model = build_embedder(params_of(model_type="mobilenet_v1_1_224", image_size=128), imagenet=True)
    assert asked == ["mobilenet_1_0_224_tf_no_top.h5"]
    np.testing.assert_equal(model.get_layer("backbone").get_weights(), theirs.get_weights())


@pytest.mark.parametrize(
    ("name", "stage", "side"),
    [
        ("mobilenet_v2", 4, 64),
        pytest.param("mobilenet_v1_1_224", 3, 64, marks=slow),
        ("basic", 2, 64),
        pytest.param("inception_resnet_v2", 4, 96, marks=slow),
    ],
)
def test_checkpoints_of_other_stages(name, stage, side, tmp_path):
    """An earlier stage can take the weights of a run with the whole backbone, but not the reverse."""
    whole, part = (network_of(name, number, side).embedder for number in (None, stage))
    paths = [save_checkpoint(model, tmp_path / f"ckpt{number}") for number, model in enumerate((whole, part))]
    saved = [n for n, _ in tf.train.list_variables(paths[1]) if n.startswith("backbone/")]
    backbone, head = parts_of(part).values()
    assert len(saved) == len(backbone.weights)  # no weights of later stages
    before = [weights.copy() for weights in head.get_weights()]
    said = warm_start(part, paths[0])
    assert "(backbone)" in said
    assert "the head starts from scratch" in said
    np.testing.assert_equal(head.get_weights(), before)
    images = np.random.default_rng(1).normal(size=(2, side, side, 3)).astype(np.float32)
    origin = whole.get_layer("backbone")
    inside = keras.Model(origin.input, origin.get_layer(ENDS[name][stage][0]).output)
    np.testing.assert_array_equal(backbone(images), inside(images))

    with pytest.raises(UserError, match=r"the weights do not fit this network .* check model_type and backbone_stage"):
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
        (
            {"model_type": "mobilenet_v1_1_224", "backbone_stage": 4, "last_stride": 1},
            "last_stride 1 has no effect with",
        ),
        ({"model_type": "resnet_v1_50", "backbone_stage": 1, "last_stride": 1}, "backbone_stage 1, which ends before"),
        (
            {"model_type": "basic", "last_stride": 1},
            "last_stride is 1, but 'basic' does not support it; .*resnet_v1_50",
        ),
        ({"model_type": "inception_resnet_v2", "last_stride": 1}, "'inception_resnet_v2' does not support it"),
    ],
)
def test_invalid_stages_and_strides(values, message):
    with pytest.raises(UserError, match=message):
        build_embedder(params_of(**{"image_size": 96, "num_channels": [4, 6, 5]} | values))


# batch_norm


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_batch_norm_keeps_the_statistics_of_the_weights(frozen):
    values = {"image_size": 16, "num_channels": [4, 8], "warm_start_from": "x", "embedding_size": 5, "head": "fc1024"}
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8))
    network = build_network(params_of(batch_norm="frozen" if frozen else "train", **values))
    backbone, head = parts_of(network.embedder).values()
    trained = [weight.path for weight in network.embedder.trainable_weights]
    assert any("batch_norm" in path for path in trained if "fc1024" in path)  # the head's batch norm still learns
    assert frozen != any(path.startswith("batch_norm") for path in trained)
    before = [weights.copy() for weights in backbone.get_weights()]
    pixels = tf.cast(images, tf.float32) / 127.5 - 1
    as_used = backbone(pixels, training=False)
    network.in_training(images)
    same = all((a == b).all() for a, b in zip(before, backbone.get_weights(), strict=True))
    assert same == frozen
    assert np.allclose(backbone(pixels, training=True), as_used, atol=1e-6) == frozen
    assert head.get_layer("fc1024_batch_norm").trainable
