"""Heads with several outputs, such as the batch-norm neck, and their training."""

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
from model.losses.objective import Objective
from model.network import heads
from model.network.build import build_embedder, build_network
from model.network.heads import HeadOutputs
from model.training.detailed_log import read_detailed_log
from runtime.errors import UserError
from runtime.json_files import read_json_lines

# bnneck

TINY_NECK = {"image_size": 16, "num_channels": [4, 8], "embedding_size": 8}


@pytest.mark.parametrize("head", ["bnneck", "bnneck_normalize"])
def test_bnneck_equals_its_definition(head):
    """f_t is the mean over the places, f_i its batch norm without bias: of the batch in training, of the past later."""
    network = build_network(params_of(head=head, **TINY_NECK))
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


@pytest.mark.parametrize(("pooling", "width"), [("average", 8), ("flatten", 128)])
def test_bnneck_of_another_width_is_refused(pooling, width):
    with pytest.raises(UserError, match=rf"'bnneck' has no linear layer: .*embedding_size must be {width} .* not 5"):
        build_embedder(params_of(head="bnneck", pooling=pooling, **TINY_NECK | {"embedding_size": 5}))


# The classifier and the triplet loss see what the head gives them


def test_most_heads_give_one_tensor():
    network = build_network(params_of(num_channels=[4, 8], embedding_size=5))
    triplet, classified = network.in_training(tf.zeros([2, 64, 32, 3], tf.uint8))
    assert triplet is classified
    assert (network.classified_size, network.classifier_batch_norm) == (5, True)


def test_a_head_whose_classifier_sees_a_part(monkeypatch):
    """Another width for the classifier than for the triplet loss, and a batch norm of its own."""

    def head(features, params):
        pooled = heads.pool(features, params)
        first = keras.layers.Dense(3, dtype="float32", name="first")(pooled)
        second = keras.layers.Dense(params.embedding_size - 3, dtype="float32", name="second")(pooled)
        whole = keras.layers.Concatenate(dtype="float32")([first, second])
        return HeadOutputs(whole, triplet=whole, classified=first)

    monkeypatch.setattr("model.network.heads.direct.head", head)
    params = params_of(num_channels=[4, 8], embedding_size=7, classification_weight=0.5)
    network = build_network(params)
    assert (network.classified_size, network.classifier_batch_norm) == (3, True)
    objective = Objective(params, 2, classified_size=3, classifier_batch_norm=True)
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (4, 64, 32, 3), dtype=np.uint8))
    labels = tf.constant([0, 0, 1, 1])
    triplet, classified = network.in_training(images)
    np.testing.assert_array_equal(triplet[:, :3], classified)
    _, values, _ = objective(labels, triplet, tf.constant(0, tf.int64), classified=classified)
    expected = objective.parts["classification"](labels, classified)[0]
    assert float(values["classification_loss"]) == pytest.approx(float(expected))
    assert [tuple(w.shape) for w in objective.trainable_variables] == [(3,), (3,), (3, 2)]


def test_weights_beside_the_embedding_are_refused(monkeypatch):
    def head(features, params):
        pooled = heads.pool(features, params)
        embedding = heads.embedding_layer(pooled, params)
        return HeadOutputs(embedding, triplet=keras.layers.Dense(4)(pooled), classified=embedding)

    monkeypatch.setattr("model.network.heads.direct.head", head)
    with pytest.raises(ValueError, match="weights that are not on the way to the embedding"):
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
    """A run with `bnneck` and all terms, on one device."""
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
    assert len(trained) == 8  # convolution, gamma, beta of two blocks, gamma of the neck, the classifier's matrix
    run = shutil.copytree(neck, tmp_path / "copy")
    done = command("evaluate.py", "--model_dir", run, "--once")
    assert done.returncode == 0, done.stderr
    assert {line["set"] for line in read_json_lines(run / "results.jsonl")} == {"test", "query_gallery", "val_eval"}


def test_what_is_logged_is_what_the_triplet_loss_saw(neck):
    """Pooled ReLU features are not negative; half of what batch norm makes of them would be."""
    log = read_detailed_log(neck / "detailed")
    assert log.emb.shape == (4, 8, 16)
    assert log.emb.min() >= 0
    norms = np.linalg.norm(log.emb, axis=2).mean(axis=1)
    logged = [line["embedding_norm"] for line in read_json_lines(neck / "metrics.jsonl")]
    np.testing.assert_allclose(norms, logged, rtol=1e-4)


def test_two_devices_train_bnneck_as_one_does(neck, tmp_path):
    assert_two_devices_train_alike(neck, tmp_path / "two", 4, atol=1e-4)
