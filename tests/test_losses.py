"""Every strategy against loops over the definition in float64."""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_addons_oracle import load_triplet_losses

from dataset import by_name
from dataset.errors import UserError
from model.distances import pairwise
from model.losses import triplet_loss

STRATEGIES = by_name.choices("model.losses")
METRICS = ["euclidean", "sqeuclidean", "cityblock"]
MARGINS = [0.0, 0.3, "soft", "none"]


def distance(a, b, metric):
    if metric == "cityblock":
        return np.abs(a - b).sum()
    squared = ((a - b) ** 2).sum()
    return squared if metric == "sqeuclidean" else math.sqrt(squared)


def f(x, margin):
    if margin == "soft":
        return max(x, 0.0) + math.log1p(math.exp(-abs(x)))
    return x if margin == "none" else max(0.0, x + margin)


def oracle(strategy, labels, embeddings, margin, metric):
    """(loss, active fraction) by loops over anchors, positives and negatives."""
    size = len(labels)
    d = np.array([[distance(a, b, metric) for b in embeddings] for a in embeddings])
    positives = [[j for j in range(size) if labels[j] == labels[i] and j != i] for i in range(size)]
    negatives = [[j for j in range(size) if labels[j] != labels[i]] for i in range(size)]
    losses = []
    for a in range(size):
        if not positives[a] or not negatives[a]:
            continue
        if strategy == "batch_hard":
            losses.append(f(max(d[a, p] for p in positives[a]) - min(d[a, n] for n in negatives[a]), margin))
        elif strategy == "batch_all":
            losses += [f(d[a, p] - d[a, n], margin) for p, n in itertools.product(positives[a], negatives[a])]
        else:
            for p in positives[a]:
                beyond = [d[a, n] for n in negatives[a] if d[a, n] > d[a, p]]
                chosen = min(beyond) if beyond else max(d[a, n] for n in negatives[a])
                losses.append(f(d[a, p] - chosen, margin))
    active = [loss for loss in losses if loss > 0]
    if not losses:
        return 0.0, 0.0
    averaged = active if strategy == "batch_all" else losses
    return (sum(averaged) / len(averaged) if averaged else 0.0), len(active) / len(losses)


def random_batch(labels, seed=0, dimensions=6):
    return np.array(labels), np.random.default_rng(seed).normal(size=(len(labels), dimensions))


BATCHES = {
    "pk": random_batch([0, 0, 0, 1, 1, 1, 2, 2, 2]),
    "uneven, unsorted": random_batch([3, 1, 2, 1, 1, 3, 9, 1, 2, 3], seed=1),
    "one image each": random_batch([0, 1, 2, 3]),
    "one identity": random_batch([5, 5, 5]),
}


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_equals_the_definition(strategy, margin, metric, batch):
    labels, embeddings = BATCHES[batch]
    loss, monitors = triplet_loss(strategy, labels, tf.constant(embeddings, tf.float32), margin, metric)
    expected, active = oracle(strategy, labels, embeddings.astype(np.float32).astype(float), margin, metric)
    assert float(loss) == pytest.approx(expected, rel=2e-5, abs=1e-6)
    assert float(monitors["active_fraction"]) == pytest.approx(active, abs=1e-6)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("margin", [0.3, "soft", "none"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_gradient_equals_finite_differences(strategy, margin, metric):
    labels, embeddings = BATCHES["uneven, unsorted"]
    variable = tf.constant(embeddings, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        loss, _ = triplet_loss(strategy, labels, variable, margin, metric)
    gradient = tape.gradient(loss, variable).numpy()
    step = 1e-6
    for i, j in [(0, 0), (3, 2), (6, 5), (9, 1)]:
        shift = np.zeros_like(embeddings)
        shift[i, j] = step
        base = embeddings.astype(np.float32).astype(float)
        up, _ = oracle(strategy, labels, base + shift, margin, metric)
        down, _ = oracle(strategy, labels, base - shift, margin, metric)
        assert gradient[i, j] == pytest.approx((up - down) / (2 * step), rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("margin", [0.3, "soft", "none"])
@pytest.mark.parametrize("case", ["collapsed", "zeros", "duplicates", "one identity", "one image each", "huge"])
def test_loss_and_gradient_are_finite(strategy, metric, margin, case):
    labels = {"one identity": [0] * 6, "one image each": list(range(6))}.get(case, [0, 0, 0, 1, 1, 1])
    embeddings = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    if case == "collapsed":
        embeddings[:] = embeddings[0]
    if case == "zeros":
        embeddings[:] = 0
    if case == "duplicates":
        embeddings[1] = embeddings[0]
        embeddings[3] = embeddings[0]
    if case == "huge":
        embeddings *= 1e4
    variable = tf.constant(embeddings)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        loss, monitors = triplet_loss(strategy, tf.constant(labels), variable, margin, metric)
    gradient = tape.gradient(loss, variable)
    assert np.isfinite(float(loss))
    assert np.isfinite(gradient.numpy()).all()
    assert all(np.isfinite(float(value)) for value in monitors.values())
    if case in ("one identity", "one image each"):
        assert float(loss) == 0
        assert not gradient.numpy().any()
        assert float(monitors["valid_terms"]) == 0
    if case in ("collapsed", "zeros"):
        assert float(loss) == pytest.approx({0.3: 0.3, "soft": math.log(2), "none": 0.0}[margin], abs=2e-3)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_parts_of_a_batch_add_up(strategy):
    """The shares of two replicas, each with half of the anchors, are the loss of the whole batch."""
    labels, embeddings = BATCHES["uneven, unsorted"]
    variable = tf.constant(embeddings, tf.float32)
    whole, monitors = triplet_loss(strategy, labels, variable, 0.3, "euclidean")
    sums = []

    def collect(x):
        sums.append(x)
        return x

    for start in (0, 5):
        triplet_loss(strategy, labels, variable, 0.3, "euclidean", anchors=(start, 5), all_reduce=collect)
    totals = [sums[0] + sums[2], sums[1] + sums[3]]  # the counts, then the monitors' sums
    given = iter(totals + totals)
    parts = [
        triplet_loss(strategy, labels, variable, 0.3, "euclidean", anchors=(s, 5), all_reduce=lambda x: next(given))
        for s in (0, 5)
    ]
    assert float(parts[0][0] + parts[1][0]) == pytest.approx(float(whole), rel=1e-6)
    for name, value in monitors.items():
        assert float(parts[0][1][name]) == pytest.approx(float(value), rel=1e-6)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_broken_embeddings_show_in_the_loss(strategy, metric, broken):
    labels, embeddings = BATCHES["pk"]
    embeddings = embeddings.copy()
    embeddings[4, 2] = broken
    loss, _ = triplet_loss(strategy, labels, tf.constant(embeddings, tf.float32), 0.3, metric)
    assert math.isnan(float(loss))


def test_labels_are_checked():
    embeddings = tf.zeros([4, 2])
    with pytest.raises(ValueError, match=r"\(4, 1\)"):
        triplet_loss("batch_hard", tf.zeros([4, 1]), embeddings, 0.1, "euclidean")
    with pytest.raises(ValueError, match="3 labels for 4 embeddings"):
        triplet_loss("batch_hard", tf.zeros([3]), embeddings, 0.1, "euclidean")
    with pytest.raises(UserError, match="batch_all, batch_hard"):
        triplet_loss("hardest", tf.zeros([4]), embeddings, 0.1, "euclidean")
    with pytest.raises(ValueError, match="metric"):
        triplet_loss("batch_hard", tf.zeros([4]), embeddings, 0.1, "hamming")
    with pytest.raises(ValueError, match="margin"):
        triplet_loss("batch_hard", tf.zeros([4]), embeddings, "sof", "euclidean")


def test_string_labels_and_half_precision():
    labels, embeddings = BATCHES["pk"]
    expected, _ = triplet_loss("batch_hard", labels, tf.constant(embeddings, tf.float32), 0.3, "euclidean")
    names = tf.constant([f"id{label}" for label in labels])
    loss, _ = triplet_loss("batch_hard", names, tf.constant(embeddings, tf.float32), 0.3, "euclidean")
    assert float(loss) == float(expected)
    half, _ = triplet_loss("batch_hard", labels, tf.constant(embeddings, tf.bfloat16), 0.3, "euclidean")
    assert half.dtype == tf.float32


@pytest.mark.parametrize("metric", METRICS)
def test_distances_equal_scipy(metric):
    from scipy.spatial.distance import cdist

    random = np.random.default_rng(0)
    a, b = random.normal(size=(5, 7)).astype(np.float32), random.normal(size=(4, 7)).astype(np.float32)
    np.testing.assert_allclose(pairwise(a, b, metric), cdist(a, b, metric), rtol=1e-5)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("strategy", "theirs", "labels", "metric", "their_metric"),
    [
        ("tf_batch_semi_hard", "triplet_semihard_loss", [0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 4], "euclidean", "L2"),
        ("tf_batch_semi_hard", "triplet_semihard_loss", [0, 0, 0, 1, 1, 1, 1, 2, 2, 3], "sqeuclidean", "squared-L2"),
        # Addons' hard loss counts anchors without a positive, so every label comes twice here.
        ("batch_hard", "triplet_hard_loss", [0, 0, 0, 1, 1, 1, 1, 2, 2], "euclidean", "L2"),
    ],
)
def test_equals_tensorflow_addons(seed, strategy, theirs, labels, metric, their_metric):
    addons = load_triplet_losses()
    embeddings = np.random.default_rng(seed).normal(size=(len(labels), 8))
    embeddings = tf.math.l2_normalize(tf.constant(embeddings, tf.float32), axis=1)
    labels = tf.constant(labels)
    loss, gradient = _with_gradient(lambda e: triplet_loss(strategy, labels, e, 1.0, metric)[0], embeddings)
    function = getattr(addons, theirs)
    expected, expected_gradient = _with_gradient(
        lambda e: function(labels, e, margin=1.0, distance_metric=their_metric), embeddings
    )
    np.testing.assert_allclose(loss, expected, atol=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-6)


def _with_gradient(function, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return float(y), tf.convert_to_tensor(tape.gradient(y, x)).numpy()
