import os
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from model.configuration.loading import check_params
from model.network.build import build_embedder
from runtime import plugins
from runtime.errors import UserError


def build(**values):
    return build_embedder(check_params({"image_size": 32, "embedding_size": 5} | values, "x"))


PIXELS = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("head", plugins.choices("model.network.heads"))
@pytest.mark.parametrize("pooling", ["average", "max", "flatten", "gem"])
def test_heads(head, pooling):
    size = {"flatten": 512}.get(pooling, 8) if head.startswith("bnneck") else 5  # 8x8 places with 8 features
    model = build(head=head, pooling=pooling, num_channels=[4, 8], embedding_size=size)
    embeddings = model(PIXELS).numpy()
    assert embeddings.shape == (2, size)
    assert embeddings.dtype == np.float32
    lengths = np.linalg.norm(embeddings, axis=1)
    assert (np.abs(lengths - 1).max() < 1e-5) == (head.endswith("_normalize") or head in ("gem", "cgd"))
    dense = [v for v in model.trainable_variables if v.path.endswith("kernel") and len(v.shape) == 2]
    assert len(dense) == {"fc1024": 2, "similarity": 2, "cgd": 2, "bnneck": 0}.get(head.partition("_")[0], 1)


def test_basic_backbone_is_what_its_parameters_say():
    model = build(num_channels=[4, 6, 8], bn_momentum=0.7)
    layers = {layer.name: layer for layer in model.get_layer("backbone").layers}
    assert [layers[f"conv_{i}"].filters for i in range(3)] == [4, 6, 8]
    assert [layers[f"conv_{i}"].kernel_size for i in range(3)] == [(3, 3)] * 3
    assert layers["batch_norm_1"].momentum == 0.7
    assert model.get_layer("backbone").output_shape == (None, 4, 4, 8)
    doubled = build(num_channels=3).get_layer("backbone")
    assert doubled.output_shape == (None, 2, 2, 24)
    plain = build(use_batch_norm=False)
    assert not any("batch_norm" in variable.path for variable in plain.variables)


def test_images_are_taken_as_they_come():
    """uint8 in, scaling inside: the same image as grey and as three equal channels."""
    grey = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 1), dtype=np.uint8)
    model = build(model_type="mobilenet_v2", image_channels=1)
    colour = build(model_type="mobilenet_v2")
    colour.set_weights(model.get_weights())
    np.testing.assert_allclose(model(grey), colour(np.repeat(grey, 3, axis=-1)), atol=1e-6)


def test_preprocess_false_feeds_pixels_from_0_to_1():
    raw, scaled = build(preprocess=False), build()
    assert len(raw.get_weights()) == len(scaled.get_weights())
    backbone, head = raw.get_layer("backbone"), raw.get_layer("head")
    np.testing.assert_allclose(raw(PIXELS), head(backbone(PIXELS / np.float32(255))), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "module", "constructor"),
    [
        ("mobilenet_v2", keras.applications.mobilenet_v2, keras.applications.MobileNetV2),
        ("resnet_v1_50", keras.applications.resnet, keras.applications.ResNet50),
    ],
)
def test_backbone_equals_keras_applications_used_by_hand(name, module, constructor):
    model = build(model_type=name, image_size=64)
    theirs = constructor(include_top=False, weights=None, input_shape=(64, 64, 3))
    theirs.set_weights(model.get_layer("backbone").get_weights())
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    features = keras.Model(model.input, _features(model))(pixels)
    expected = theirs(module.preprocess_input(pixels.astype(np.float32)))
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4)


def _features(model: keras.Model) -> keras.KerasTensor:
    """The features inside an embedder."""
    return model.get_layer("head")._inbound_nodes[-1].input_tensors[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet_v1_101", "inception_resnet_v2"])
def test_large_backbones(name):
    model = build(model_type=name, image_size=96, head="fc1024_normalize")
    pixels = np.zeros((1, 96, 96, 3), np.uint8)
    assert np.linalg.norm(model(pixels)) == pytest.approx(1, abs=1e-5)


def test_precision_of_the_embedding():
    try:
        model = build(precision="mixed_bfloat16", head="fc1024_normalize")
        assert model.get_layer("backbone").layers[1].compute_dtype == "bfloat16"
        assert model(PIXELS).dtype == tf.float32
        assert {v.dtype for v in model.trainable_variables} == {"float32"}
    finally:
        keras.config.set_dtype_policy("float32")


def test_equal_seeds_give_equal_networks():
    one, two, other = build(seed=1), build(seed=1), build(seed=2)
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


def test_no_imagenet_weights_for_the_basic_backbone():
    with pytest.raises(UserError, match="no ImageNet weights for 'basic'"):
        build_embedder(check_params({}, "x"), imagenet=True)


def golden(shared_data, name, weights, module, constructor):
    """Features of a real photograph, through warm_start_from and by hand."""
    from model.training.warm_start import warm_start

    frame = next((shared_data / "vid_frames").glob("*/000000.JPEG"))
    with Image.open(frame) as file:
        photo = np.asarray(file.convert("RGB").resize((224, 224)))[None]
    model = build(model_type=name, image_size=224)
    said = warm_start(model, str(weights))
    theirs = constructor(include_top=False, weights=str(weights), input_shape=(224, 224, 3))
    assert f"{len(theirs.weights)} of {len(theirs.weights) + 2} variables" in said
    expected = theirs(module.preprocess_input(photo.astype(np.float32))).numpy()
    features = keras.Model(model.input, _features(model))(photo).numpy()
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 0.1


def test_golden_features_of_mobilenet_v2(shared_data):
    weights = shared_data / "weights" / "mobilenet_v2_1.0_imagenet_notop.weights.h5"
    if not weights.exists():
        pytest.skip(f"no {weights}")
    modules = keras.applications
    golden(shared_data, "mobilenet_v2", weights, modules.mobilenet_v2, modules.MobileNetV2)


def test_golden_features_of_resnet_50(shared_data):
    weights = Path(os.environ.get("TRIPLET_RESNET50", shared_data / "weights" / "resnet50_imagenet_notop.weights.h5"))
    if not weights.exists():
        pytest.skip(f"no {weights}; TRIPLET_RESNET50 may name the file")
    golden(shared_data, "resnet_v1_50", weights, keras.applications.resnet, keras.applications.ResNet50)
