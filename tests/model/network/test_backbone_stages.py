"""`backbone_stage`: the features of an earlier stage, with the weights of the whole backbone."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.reid_params import scrambled

from model.configuration.loading import check_params
from model.network.build import build_embedder
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
CONSTRUCTORS = {
    "mobilenet_v2": keras.applications.MobileNetV2,
    "resnet_v1_50": keras.applications.ResNet50,
    "resnet_v1_101": keras.applications.ResNet101,
    "inception_resnet_v2": keras.applications.InceptionResNetV2,
}


def embedder_of(name, stage, side=64, **values):
    values = {"image_size": side, "num_channels": [4, 6, 5], "embedding_size": 7, "seed": stage or 9} | values
    return build_embedder(check_params({"model_type": name, "backbone_stage": stage} | values, "x"))


slow = pytest.mark.slow
CASES = [
    ("mobilenet_v2", (4,), 64),
    pytest.param("mobilenet_v2", (1, 2, 3, 5), 64, marks=slow),
    ("resnet_v1_50", (4,), 64),
    pytest.param("resnet_v1_50", (1, 2, 3, 5), 64, marks=slow),
    pytest.param("resnet_v1_101", (4,), 64, marks=slow),
    pytest.param("inception_resnet_v2", (3, 4, 5), 96, marks=slow),
]


@pytest.mark.parametrize(("name", "stages", "side"), CASES)
def test_a_stage_is_what_lies_inside_the_whole_network(name, stages, side, tmp_path):
    """A weights file of the whole network, written by Keras's own, is read; the features are those inside of it."""
    whole = scrambled(CONSTRUCTORS[name](include_top=False, weights=None, input_shape=(side, side, 3)))
    file = tmp_path / "whole.weights.h5"
    whole.save_weights(file)
    images = np.random.default_rng(1).normal(size=(2, side, side, 3)).astype(np.float32)
    for stage in stages:
        layer, width = ENDS[name][stage]
        model = embedder_of(name, stage, side)
        backbone = model.get_layer("backbone")
        said = warm_start(model, str(file))
        assert f"{len(backbone.weights)} of {len(backbone.weights) + 2} variables (backbone)" in said
        inside = keras.Model(whole.input, whole.get_layer(layer).output)
        features = backbone(images)
        np.testing.assert_array_equal(features, inside(images))
        assert len(backbone.weights) == len(inside.weights)
        places = side // 2**stage
        about = 3 if name == "inception_resnet_v2" else 0  # its convolutions leave out the margin
        assert features.shape[-1] == width
        assert places - about <= features.shape[1] <= places
        assert np.isfinite(features).all()
        assert np.std(features) > 0


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_stages_of_the_basic_backbone(stage, tmp_path):
    whole, part = embedder_of("basic", None), embedder_of("basic", stage)
    file = tmp_path / "b.weights.h5"
    whole.get_layer("backbone").save_weights(file)
    assert "(backbone)" in warm_start(part, str(file))
    layer, width = ENDS["basic"][stage]
    one, two = (model.get_layer("backbone") for model in (whole, part))
    images = np.random.default_rng(1).normal(size=(2, 64, 64, 3)).astype(np.float32)
    features = two(images)
    assert features.shape == (2, 64 // 2**stage, 64 // 2**stage, width)
    np.testing.assert_array_equal(features, keras.Model(one.input, one.get_layer(layer).output)(images))


@pytest.mark.parametrize(
    ("name", "stage"), [("mobilenet_v2", 4), ("basic", 2), pytest.param("inception_resnet_v2", 4, marks=slow)]
)
def test_checkpoints_of_other_stages(name, stage, tmp_path):
    """A run with the whole backbone gives an earlier stage its weights; the other way there are none for the rest."""
    side = 96 if name == "inception_resnet_v2" else 64
    whole, part = embedder_of(name, None, side), embedder_of(name, stage, side)
    paths = []
    for number, model in enumerate((whole, part)):
        checkpoint = tf.train.Checkpoint(backbone=model.get_layer("backbone"), head=model.get_layer("head"))
        paths.append(checkpoint.save(str(tmp_path / f"ckpt{number}")))
    saved = [n for n, _ in tf.train.list_variables(paths[1]) if n.startswith("backbone/")]
    assert len(saved) == len(part.get_layer("backbone").weights)  # nothing of the later stages
    head = [weights.copy() for weights in part.get_layer("head").get_weights()]
    said = warm_start(part, paths[0])
    assert "(backbone)" in said
    assert "the head starts anew" in said
    by_path = {weight.path: weight.numpy() for weight in whole.get_layer("backbone").weights}
    unlike = 0
    for weight in part.get_layer("backbone").weights:
        unlike += weight.path not in by_path
        if weight.path in by_path:
            np.testing.assert_array_equal(weight.numpy(), by_path[weight.path])
    assert name == "inception_resnet_v2" or not unlike  # Keras numbers its layers without a name anew each time
    for a, b in zip(head, part.get_layer("head").get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)

    before = whole.get_weights()
    with pytest.raises(UserError, match=r"no variables of this network match .* another model_type or backbone_stage"):
        warm_start(whole, paths[1])
    for a, b in zip(before, whole.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(UserError, match="another architecture"):
        restore_model(paths[1], whole)


def test_the_last_stage_is_the_whole_backbone():
    """So it goes with `last_stride`."""
    assert embedder_of("mobilenet_v2", 5, last_stride=1).get_layer("backbone").output_shape == (None, 4, 4, 1280)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model_type": "basic", "backbone_stage": 4}, "4, but 'basic' has the stages 1, 2 and 3; .* or null"),
        ({"model_type": "basic", "backbone_stage": 2, "num_channels": [4]}, "2, but 'basic' has stage 1 only"),
        ({"model_type": "inception_resnet_v2", "backbone_stage": 2}, "'inception_resnet_v2' has the stages 3, 4 and 5"),
        ({"model_type": "mobilenet_v2", "backbone_stage": 4, "last_stride": 1}, "last_stride 1 has no effect with"),
        ({"model_type": "resnet_v1_50", "backbone_stage": 1, "last_stride": 1}, "backbone_stage 1, which ends before"),
    ],
)
def test_stages_that_cannot_be(values, message):
    with pytest.raises(UserError, match=message):
        build_embedder(check_params({"image_size": 96, "num_channels": [4, 6, 5]} | values, "x"))
