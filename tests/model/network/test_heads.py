"""Heads of image ranking, compared with their formulas in NumPy with float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.commands import command
from helpers.reid_params import params_of
from helpers.tiny import make_run

from model.losses.objective import Objective
from model.network import heads
from model.network.build import build_network
from model.network.heads import cgd
from model.network.heads._layers import GeneralizedMeanPooling2D
from model.run.run_folder import RunFolder
from model.training.warm_start import warm_start
from runtime.json_files import read_json_lines

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)


def network_of(**values):
    return build_network(params_of(**{"image_size": 16, "num_channels": [4, 6], "embedding_size": 7} | values))


# Descriptors


def activations(seed=0):
    """(5, 3, 4, 8) float32: both signs, one sign, all zero, huge, and a single position other than 0."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(5, 3, 4, 8))
    x[1] = -np.abs(x[1])
    x[2] = 0
    x[3] = np.abs(x[3]) * 10 ** random.uniform(0, 30, 8)
    x[4] = 0
    x[4, 1, 2] = random.uniform(0.1, 1000, 8)
    return x.astype(np.float32)


def spoc(x):
    return np.asarray(x, float).mean(axis=(1, 2))


def mac(x):
    return np.asarray(x, float).max(axis=(1, 2))


def gem(x, p):
    """With logarithms: no power overflows."""
    logs = p * np.log(np.maximum(np.asarray(x, float), 1e-6))
    count = logs.shape[1] * logs.shape[2]
    return np.exp((np.logaddexp.reduce(np.logaddexp.reduce(logs, axis=1), axis=1) - np.log(count)) / p)


@pytest.mark.parametrize("p", [1.0, 1.5, 3.0, 30.0, 100.0])
def test_gem_and_its_gradients_equal_the_formula(p):
    x = activations()
    layer = GeneralizedMeanPooling2D(p, learned=True)
    variable = tf.Variable(x)
    with tf.GradientTape() as tape:
        pooled = layer(variable)
        # In one sum, maps of 1e30 would hide maps of 1.
        scaled = tf.reduce_sum(pooled / tf.stop_gradient(pooled))
    assert pooled.dtype == tf.float32
    np.testing.assert_allclose(pooled, gem(x, p), rtol=1e-5)

    # Relative gradients of each output: by x (zero where x is at most 1e-6), and by p.
    ratios = np.maximum(x.astype(float), 1e-6) / gem(x, p)[:, None, None]  # the mean of their p-th powers is 1
    expected = np.where(x > 1e-6, ratios ** (p - 1) / 12, 0) / gem(x, p)[:, None, None]
    by_x, by_p = tape.gradient(scaled, [variable, layer.exponent])
    np.testing.assert_allclose(by_x, expected, rtol=2e-5 * p + 1e-4, atol=1e-6 * np.abs(expected).max())
    assert np.isfinite(by_x).all()
    np.testing.assert_allclose(by_p, (ratios**p / 12 * np.log(ratios)).sum() / p, rtol=1e-4)


def test_a_learned_p_stays_in_its_range():
    layer = GeneralizedMeanPooling2D(1.5, learned=True)
    layer.build((None, 3, 4, 8))
    optimizer = keras.optimizers.SGD(1.0)
    for gradient, expected in ((0.25, 1.25), (9.0, 1.0), (-1.0, 2.0), (-1e4, 100.0)):
        optimizer.apply([tf.constant(gradient)], [layer.exponent])
        assert float(layer.exponent.numpy()) == pytest.approx(expected)
    assert GeneralizedMeanPooling2D(1.5).weights == []


# Length 1


def test_lengths_of_1():
    """Signs are kept, and tiny and huge vectors keep their direction in float32."""
    random = np.random.default_rng(0)
    x = random.normal(size=(6, 9)) * np.array([1, 1e-30, 1e-33, 1e25, 1e35, 1e-7])[:, None]
    x = np.append(x, [np.zeros(9), [0, 0, 0, -2.5e-20, 0, 0, 0, 0, 0]], axis=0).astype(np.float32)
    exact = np.asarray(x, float)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    expected = np.divide(exact, lengths, where=lengths > 0, out=np.zeros_like(exact))
    assert (expected < 0).sum() > 10
    variable = tf.Variable(x)
    weights = tf.constant(random.normal(size=x.shape), tf.float32)
    with tf.GradientTape() as tape:
        units = heads.UnitLength()(variable)
        value = tf.reduce_sum(weights * units)
    np.testing.assert_allclose(units, expected, rtol=1e-6, atol=1e-7)
    assert (np.sign(units) == np.sign(x)).all()
    gradient = tape.gradient(value, variable).numpy()
    assert np.isfinite(gradient).all()
    across = weights - (weights * expected).numpy().sum(axis=1, keepdims=True) * expected  # (I - u u^T) w, over |x|
    nonzero = np.arange(len(x)) != 6
    np.testing.assert_allclose(gradient[nonzero] * lengths[nonzero], np.asarray(across)[nonzero], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(gradient[6], weights[6])


@pytest.mark.parametrize(
    "values", [{"head": "cgd", "descriptors": "SMG"}, {"head": "cgd", "gem_learned": True}, {"head": "gem"}]
)
def test_heads_of_length_1_at_dead_features(values):
    """All features are zero: embeddings are zero, and all gradients are finite."""
    head = network_of(**values).embedder.get_layer("head")
    with tf.GradientTape() as tape:
        embeddings = head(tf.concat([tf.zeros([1, 4, 4, 6]), tf.ones([1, 4, 4, 6])], 0))
        value = tf.reduce_sum(embeddings[:, 0])
    assert np.isfinite(embeddings).all()
    assert np.linalg.norm(embeddings[1]) == pytest.approx(1, abs=1e-6)
    assert all(np.isfinite(g).all() for g in tape.gradient(value, head.trainable_weights))


# Combined global descriptors


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize(
    ("descriptors", "widths"), [("S", [7]), ("MG", [4, 3]), ("SMG", [3, 2, 2]), ("GSSM", [2] * 4), ("MGS", [1] * 3)]
)
def test_cgd_equals_its_definition(descriptors, widths, learned):
    size = sum(widths)
    network = network_of(head="cgd", descriptors=descriptors, gem_p=4.5, gem_learned=learned, embedding_size=size)
    head = network.embedder.get_layer("head")
    assert cgd.widths(size, len(descriptors)) == widths
    features = np.maximum(np.random.default_rng(1).normal(size=(3, 4, 4, 6)), 0).astype(np.float32)
    pools = {"S": spoc, "M": mac, "G": lambda x: gem(x, 4.5)}
    branches = []
    for n, letter in enumerate(descriptors):
        (kernel,) = head.get_layer(f"reduce_{n}_{letter}").get_weights()
        assert kernel.shape == (6, widths[n])
        reduced = pools[letter](features) @ kernel.astype(float)
        branches.append(reduced / np.linalg.norm(reduced, axis=1, keepdims=True))
    expected = np.concatenate(branches, axis=1) / np.sqrt(len(branches))
    np.testing.assert_allclose(head(features), expected, rtol=1e-4, atol=1e-6)
    assert len(head.weights) == len(descriptors) + learned * descriptors.count("G")


@pytest.mark.parametrize("seen", ["pooled", "reduced"])
@pytest.mark.parametrize(("descriptors", "first"), [("SG", spoc), ("MS", mac), ("GM", lambda x: gem(x, 3.0))])
def test_the_classifier_sees_the_first_descriptor(descriptors, first, seen):
    values = {"classification_weight": 0.5, "batch_norm": "frozen", "warm_start_from": "x"}
    network = network_of(head="cgd", descriptors=descriptors, classified_descriptor=seen, **values)
    expected = first(network.embedder.get_layer("backbone")(IMAGES / np.float32(127.5) - 1))
    if seen == "reduced":
        (kernel,) = network.embedder.get_layer("head").get_layer(f"reduce_0_{descriptors[0]}").get_weights()
        expected = expected @ kernel
    triplet, classified = network.in_training(tf.constant(IMAGES))
    np.testing.assert_allclose(classified, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(triplet, network.embedder(IMAGES), atol=1e-6)
    width = expected.shape[1]
    assert (network.classified_size, network.classifier_batch_norm) == (width, True)

    objective = Objective(params_of(**values), 2, classified_size=width, classifier_batch_norm=True)
    labels = tf.constant([0, 0, 1, 1])
    _, values, _ = objective(labels, triplet, tf.constant(0, tf.int64), classified=classified)
    loss = objective.parts["classification"](labels, classified)[0]
    assert float(values["classification_loss"]) == pytest.approx(float(loss))
    assert [tuple(w.shape) for w in objective.trainable_variables] == [(width,), (width,), (width, 2)]


# Other heads


@pytest.mark.parametrize(
    ("head", "pooling"), [("direct", "gem"), ("fc1024", "gem"), ("bnneck", "gem"), ("gem", "flatten")]
)
def test_heads_with_gem(head, pooling):
    network = network_of(head=head, pooling=pooling, gem_p=2.0, embedding_size=6)
    head = network.embedder.get_layer("head")
    features = np.random.default_rng(1).normal(size=(3, 4, 4, 6)).astype(np.float32)
    pooled = keras.Model(head.input, head.get_layer("pool").output)(features)
    np.testing.assert_allclose(pooled, gem(features, 2.0), rtol=1e-5)


def test_similarity_equals_its_definition():
    head = network_of(head="similarity", embedding_size=5).embedder.get_layer("head")
    random = np.random.default_rng(3)
    head.set_weights([random.uniform(0.1, 1, w.shape) if "norm" in w.path else w for w in head.weights])
    head.set_weights([random.normal(size=w.shape) if "bias" in w.path else w for w in head.weights])
    features = random.normal(size=(3, 4, 4, 6)).astype(np.float32)
    weights = {weight.path: np.asarray(weight, float) for weight in head.weights}

    def linear(x, name):
        kernel = weights[f"{name}/kernel"]
        return x @ kernel.reshape(-1, kernel.shape[-1]) + weights[f"{name}/bias"]

    x = np.maximum(linear(features.astype(float), "similarity_conv_0"), 0)
    x = np.maximum(linear(x, "similarity_conv_1"), 0)
    x = linear(x.reshape(3, -1), "similarity_dense")
    x = x / (1 + np.exp(-x))
    gamma, beta, mean, variance = (
        weights[f"similarity_batch_norm/{name}"] for name in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    x = (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta
    expected = linear(x, "embedding")
    np.testing.assert_allclose(head(features), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    widths = [weights[f"similarity_{name}/bias"].size for name in ("conv_0", "conv_1", "dense")]
    assert widths == [512, 128, 1024]


def test_training_with_descriptors_and_a_learned_p(dataset, tmp_path):
    """p changes, is saved in the checkpoint, and another run can start from it."""
    options = {"head": "cgd", "descriptors": "SMG", "gem_learned": True, "embedding_size": 10}
    options |= {"classification_weight": 1.0, "classification_temperature": 0.5, "label_smoothing": 0.1}
    run = make_run(tmp_path / "run", dataset, **options)
    assert command("train.py", "--model_dir", run).returncode == 0
    assert np.isfinite(list(read_json_lines(run / "metrics.jsonl")[-1].values())).all()
    params = RunFolder(run).load_trained_params()
    embedder = build_network(params).embedder
    assert "(backbone and head)" in warm_start(embedder, str(run))
    p = float(embedder.get_layer("head").get_layer("pool_2_G").exponent.numpy())
    assert p != 3.0
    assert p == pytest.approx(3.0, abs=0.01)  # four steps of Adam at 3e-4
