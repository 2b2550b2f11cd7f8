import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from model.configuration.loading import check_params
from model.network.build import build_embedder, build_network
from model.training.warm_start import warm_start
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


@pytest.mark.parametrize(
    "values",
    [
        {"head": "fc1024_normalize"},
        {"head": "cgd", "descriptors": "SMG"},
        {"head": "bnneck", "embedding_size": 256},
        {"head": "similarity"},
        {"pooling": "gem"},
    ],
)
def test_half_precision_ends_before_the_embedding(values):
    params = check_params({"image_size": 32, "embedding_size": 5, "precision": "mixed_bfloat16"} | values, "x")
    try:
        network = build_network(params)
        assert network.embedder.get_layer("backbone").layers[1].compute_dtype == "bfloat16"
        outputs = [network.embedder(PIXELS), *network.in_training(tf.constant(PIXELS))]
    finally:
        keras.config.set_dtype_policy("float32")
    assert {x.dtype for x in outputs} == {tf.float32}
    assert all(np.isfinite(x).all() for x in outputs)
    assert {v.dtype for v in network.embedder.trainable_variables} == {"float32"}


def test_equal_seeds_give_equal_networks():
    one, two, other = build(seed=1), build(seed=1), build(seed=2)
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


def test_no_imagenet_weights_for_the_basic_backbone():
    with pytest.raises(UserError, match="no ImageNet weights for 'basic'"):
        build_embedder(check_params({}, "x"), imagenet=True)


WEIGHTS = {
    "mobilenet_v2": "mobilenet_v2_1.0_imagenet_notop.weights.h5",
    "resnet_v1_50": os.environ.get("TRIPLET_RESNET50", "resnet50_imagenet_notop.weights.h5"),
}


@pytest.mark.parametrize(
    ("name", "module", "constructor", "stage"),
    [
        ("mobilenet_v2", keras.applications.mobilenet_v2, keras.applications.MobileNetV2, None),
        ("mobilenet_v2", keras.applications.mobilenet_v2, keras.applications.MobileNetV2, (4, "block_12_add")),
        ("resnet_v1_50", keras.applications.resnet, keras.applications.ResNet50, None),
    ],
)
def test_golden_features(shared_data, name, module, constructor, stage):
    """Features of a real photograph with real weights, through warm_start_from and by hand."""
    weights = shared_data / "weights" / WEIGHTS[name]
    if not weights.exists():
        pytest.skip(f"no {weights}; TRIPLET_RESNET50 may name that of ResNet-50")
    with Image.open(next((shared_data / "vid_frames").glob("*/000000.JPEG"))) as file:
        photo = np.asarray(file.convert("RGB").resize((224, 224)))[None]
    model = build(model_type=name, image_size=224, backbone_stage=stage and stage[0])
    said = warm_start(model, str(weights))
    theirs = constructor(include_top=False, weights=str(weights), input_shape=(224, 224, 3))
    if stage:
        theirs = keras.Model(theirs.input, theirs.get_layer(stage[1]).output)
    assert f"{len(theirs.weights)} of {len(theirs.weights) + 2} variables" in said
    expected = theirs(module.preprocess_input(photo.astype(np.float32))).numpy()
    features = keras.Model(model.input, _features(model))(photo).numpy()
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 0.1
