"""Networks: from uint8 images to embeddings, and their training outputs, such as those of BNNeck."""

import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.commands import command
from helpers.reid_params import params_of
from helpers.tiny import make_run
from helpers.training_results import assert_two_devices_train_alike, checkpoint_values, train_smoothly

from model.losses.auxiliary import Classification
from model.network import heads
from model.network.build import build_embedder, build_network
from model.network.heads import HeadOutputs
from model.training.detailed_log import read_detailed_log
from runtime import plugins
from runtime.errors import UserError
from runtime.json_files import read_json_lines


def build(**values):
    return build_embedder(params_of(**{"image_size": 32, "embedding_size": 5} | values))


PIXELS = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("head", plugins.choices("model.network.heads"))
@pytest.mark.parametrize("pooling", ["average", "max", "flatten", "gem"])
def test_heads(head, pooling):
    size = {"flatten": 512}.get(pooling, 8) if head.startswith("bnneck") else 5  # 8x8 positions with 8 features
    model = build(head=head, pooling=pooling, num_channels=[4, 8], embedding_size=size)
    embeddings = model(PIXELS).numpy()
    assert embeddings.shape == (2, size)
    assert embeddings.dtype == np.float32
    lengths = np.linalg.norm(embeddings, axis=1)
    assert (np.abs(lengths - 1).max() < 1e-5) == (head.endswith("_normalize") or head in ("gem", "cgd"))
    dense = [v for v in model.trainable_variables if v.path.endswith("kernel") and len(v.shape) == 2]
    assert len(dense) == {"fc1024": 2, "similarity": 2, "cgd": 2, "bnneck": 0}.get(head.partition("_")[0], 1)


def test_basic_backbone_follows_its_parameters():
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


def test_grey_and_colour_images():
    """The network takes uint8 and scales it: the same image in grey and with three equal channels."""
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
    params = params_of(**{"image_size": 32, "embedding_size": 5, "precision": "mixed_bfloat16"} | values)
    try:
        network = build_network(params)
        assert network.embedder.get_layer("backbone").layers[1].compute_dtype == "bfloat16"
        outputs = [network.embedder(PIXELS), *network.in_training(tf.constant(PIXELS))]
    finally:
        keras.config.set_dtype_policy("float32")
    assert {x.dtype for x in outputs} == {tf.float32}
    assert all(np.isfinite(x).all() for x in outputs)
    assert {v.dtype for v in network.embedder.trainable_variables} == {"float32"}


def test_the_keras_seed_determines_the_network_and_building_changes_no_keras_setting():
    weights = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        weights.append(build(precision="mixed_bfloat16").get_weights())
    one, two, other = weights
    np.testing.assert_equal(one, two)
    assert any((a != b).any() for a, b in zip(one, other, strict=True))
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"head": "bnneck"},
            r"embedding_size is 5, but head 'bnneck' has no linear layer: .* set embedding_size to 8,",
        ),
        ({"head": "bnneck", "pooling": "flatten"}, "set embedding_size to 512,"),
        (
            {"head": "cgd", "descriptors": "SMG", "embedding_size": 2},
            "'SMG' are 3 descriptors, but embedding_size is only 2",
        ),
    ],
)
def test_invalid_heads(values, message):
    with pytest.raises(UserError, match=message):
        build(num_channels=[4, 8], **values)


def test_no_imagenet_weights_for_the_basic_backbone():
    with pytest.raises(UserError, match="no ImageNet weights for 'basic'"):
        build_embedder(params_of(), imagenet=True)


# bnneck


@pytest.mark.parametrize("head", ["bnneck", "bnneck_normalize"])
def test_bnneck_equals_its_definition(head):
    """f_t is the mean over positions; f_i is its batch norm without bias, by batch or by moving statistics."""
    network = build_network(params_of(head=head, image_size=16, num_channels=[4, 8], embedding_size=8))
    model, neck = network.embedder, network.embedder.get_layer("head").get_layer("bnneck")
    random = np.random.default_rng(2)
    gamma, mean, variance = (random.uniform(0.5, 2, 8).astype(np.float32) for _ in range(3))
    neck.set_weights([gamma, mean, variance])  # no beta
    assert [w.path.rpartition("/")[2] for w in neck.trainable_weights] == ["gamma"]
    images = random.integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
    pixels = images / np.float32(127.5) - 1

    features = model.get_layer("backbone")(pixels, training=False).numpy()
    expected = (features.mean(axis=(1, 2)) - mean) / np.sqrt(variance + 1e-5) * gamma
    if head == "bnneck_normalize":
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(model(images), expected, rtol=1e-4, atol=1e-5)

    before = model.get_weights()
    pooled = model.get_layer("backbone")(pixels, training=True).numpy().mean(axis=(1, 2))
    model.set_weights(before)
    triplet, classified = network.in_training(tf.constant(images))
    np.testing.assert_allclose(triplet, pooled, rtol=1e-4, atol=1e-5)
    normed = (pooled - pooled.mean(axis=0)) / np.sqrt(pooled.var(axis=0) + 1e-5) * gamma
    np.testing.assert_allclose(classified, normed, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(neck.moving_mean, 0.9 * mean + 0.1 * pooled.mean(axis=0), rtol=1e-4, atol=1e-6)
    assert (network.classified_size, network.classifier_batch_norm) == (8, False)


def test_weights_that_do_not_affect_the_embedding_are_refused(monkeypatch):
    def head(features, params):
        pooled = heads.pool(features, params)
        embedding = heads.embedding_layer(pooled, params)
        return HeadOutputs(embedding, triplet=keras.layers.Dense(4)(pooled), classified=embedding)

    monkeypatch.setattr("model.network.heads.direct.head", head)
    with pytest.raises(ValueError, match="weights that do not affect the embedding"):
        build_network(params_of(num_channels=[4, 8]))


def test_a_classifier_without_batch_norm_is_a_linear_layer():
    term = Classification(params_of(), 3, size=4, batch_norm=False)
    (weights,) = term.classifier.get_weights()
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    logits = (x @ weights).astype(float)
    labels = np.array([0, 1, 2, 0, 1], np.int32)
    expected = np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(5), labels])
    assert float(term(tf.constant(labels), tf.constant(x))[0]) == pytest.approx(expected, rel=1e-5)


# Trained

NECK = {
    "head": "bnneck",
    "classification_weight": 1.0,
    "label_smoothing": 0.1,
    "center_loss_weight": 0.1,
    "memory_size": 20,
    "augmentation": ["random_crop", "horizontal_flip", "random_erasing"],
    "margin": 0.3,
    "detailed_log": True,
    "save_summary_steps": 1,
    "num_channels": [8, 16],
    "embedding_size": 16,
}


@pytest.fixture(scope="module")
def neck(tmp_path_factory, dataset):
    """A run with `bnneck` and all loss terms, on one device."""
    run = make_run(tmp_path_factory.mktemp("neck") / "one", dataset, learning_rate=0.1, **NECK)
    done = train_smoothly(run)
    assert done.returncode == 0, done.stderr
    return run


def test_bnneck_trains_and_is_evaluated(neck, tmp_path):
    lines = read_json_lines(neck / "metrics.jsonl")
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert all(np.isfinite(value) for line in lines for value in line.values())
    before, after = (checkpoint_values(neck, step) for step in (0, 4))
    changed = {key for key in before if not np.array_equal(before[key], after[key])}
    assert any("_centers" in key for key in changed)
    trained = [key for key in changed if "/_trainable_variables/" in key]
    assert len(trained) == 8  # convolution, gamma and beta of two blocks; gamma of the neck; the classifier's matrix

    # The log has the input of the triplet loss: pooled ReLU features. Batch norm would make half of them negative.
    log = read_detailed_log(neck / "detailed")
    assert log.emb.shape == (4, 8, 16)
    assert log.emb.min() >= 0
    norms = np.linalg.norm(log.emb, axis=2).mean(axis=1)
    np.testing.assert_allclose(norms, [line["embedding_norm"] for line in lines], rtol=1e-4)

    run = shutil.copytree(neck, tmp_path / "copy")
    done = command("evaluate.py", "--model_dir", run, "--once")
    assert done.returncode == 0, done.stderr
    assert {line["set"] for line in read_json_lines(run / "results.jsonl")} == {"test", "query_gallery", "val_eval"}


def test_two_devices_train_bnneck_as_one_does(neck, tmp_path):
    assert_two_devices_train_alike(neck, tmp_path / "two", 4, atol=1e-4)
