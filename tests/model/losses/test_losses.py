"""Every strategy, compared with loops over its definition in float64 and with TensorFlow Addons."""

import math

import numpy as np
import pytest
import tensorflow as tf
from helpers.loss_batches import BATCHES, DRAWN, MARGINS, MINED, STRATEGIES, UNEVEN, random_batch, with_gradient
from helpers.loss_oracle import oracle
from helpers.metric_names import METRICS
from helpers.tensorflow_addons_oracle import load_triplet_losses
from scipy.spatial.distance import cdist

from model.losses.pairwise import pairwise
from model.losses.triplet import triplet_loss


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize(
    ("strategy", "options"), [*((s, {}) for s in STRATEGIES), ("batch_all", {"batch_all_mean": "valid"})]
)
def test_loss_and_gradient_equal_the_definition(strategy, options, margin, metric):
    for name, (labels, embeddings) in BATCHES.items():
        loss, gradient, values = with_gradient(strategy, labels, embeddings, margin, metric, **options)
        expected, expected_gradient, active, terms = oracle(
            strategy, labels, embeddings, margin, metric, drawn=values.total.numpy(), **options
        )
        assert loss == pytest.approx(expected, rel=1e-5, abs=1e-6 if strategy == DRAWN else 1e-7), name
        assert np.isfinite(gradient).all()
        scale = np.abs(expected_gradient).max()
        # Several draws may have the same loss.
        if strategy != DRAWN or (name in ("pk", "uneven") and margin in ("soft", "none")):
            # If all gradients are 0, rounding may leave about the last digit of a weight.
            floor = 2e-8 if scale < 1e-12 else 0.0
            np.testing.assert_allclose(gradient, expected_gradient, rtol=0, atol=1e-5 * scale + floor, err_msg=name)
        monitors = values.monitors()
        assert float(monitors["valid_terms"]) == terms
        if scale or margin not in (0.0, "none"):  # at the boundary of f > 0, rounding decides
            assert float(monitors["active_fraction"]) == pytest.approx(active, abs=1e-6), name


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("strategy", [*MINED, "basic"])
def test_the_gradient_of_the_oracle_fits_its_loss(strategy, metric):
    """By finite differences, without ties."""
    labels, embeddings = UNEVEN
    _, gradient, *_ = oracle(strategy, labels, embeddings, 0.3, metric)
    for i, j in [(0, 0), (3, 2), (6, 5), (9, 1)]:
        shift = np.zeros(embeddings.shape)
        shift[i, j] = 1e-6
        up, down = (oracle(strategy, labels, embeddings + s, 0.3, metric)[0] for s in (shift, -shift))
        assert gradient[i, j] == pytest.approx((up - down) / 2e-6, rel=1e-4, abs=1e-6)


def test_batch_sample_draws_evenly():
    labels, embeddings = random_batch([1, 0, 0, 0, 2, 1], dimensions=3)
    d = np.linalg.norm(embeddings[2] - embeddings, axis=1)
    pairs = [d[p] - d[n] for p in (1, 3) for n in (0, 4, 5)]
    function = tf.function(
        lambda seed: triplet_loss("batch_sample", labels, embeddings, "none", "euclidean", seed=seed)[1].total[2]
    )
    drawn = [float(function(tf.constant([5, step]))) for step in range(1200)]
    counts = [np.isclose(drawn, x, atol=1e-5).sum() for x in pairs]
    assert sum(counts) == 1200
    assert min(counts) > 200 - 5 * math.sqrt(200)


@pytest.mark.parametrize("metric", METRICS)
def test_distances_equal_scipy(metric):
    random = np.random.default_rng(0)
    a, b = random.normal(size=(5, 7)).astype(np.float32), random.normal(size=(4, 7)).astype(np.float32)
    b[2] = a[3]
    found = pairwise(a, b, metric)
    np.testing.assert_allclose(found, cdist(a.astype(float), b.astype(float), metric), rtol=1e-6, atol=1e-12)
    assert found[3, 2] == 0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("strategy", "theirs", "labels", "metric", "their_metric"),
    [
        ("tf_batch_semi_hard", "triplet_semihard_loss", [0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 4], "euclidean", "L2"),
        ("tf_batch_semi_hard", "triplet_semihard_loss", [0, 0, 0, 1, 1, 1, 1, 2, 2, 3], "sqeuclidean", "squared-L2"),
        ("tf_batch_semi_hard", "triplet_semihard_loss", [*range(20)] * 4, "euclidean", "L2"),
        # Addons' hard loss counts anchors without a positive, so every label appears twice.
        ("batch_hard", "triplet_hard_loss", [0, 0, 0, 1, 1, 1, 1, 2, 2], "euclidean", "L2"),
        ("batch_hard", "triplet_hard_loss", [*range(20)] * 4, "sqeuclidean", "squared-L2"),
    ],
)
def test_equals_tensorflow_addons(seed, strategy, theirs, labels, metric, their_metric):
    embeddings = np.random.default_rng(seed).normal(size=(len(labels), 8))
    embeddings = tf.math.l2_normalize(tf.constant(embeddings, tf.float32), axis=1)
    loss, gradient, _ = with_gradient(strategy, labels, embeddings, 1.0, metric)
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        function = getattr(load_triplet_losses(), theirs)
        expected = function(tf.constant(labels), embeddings, margin=1.0, distance_metric=their_metric)
    np.testing.assert_allclose(loss, expected, atol=1e-6)
    np.testing.assert_allclose(gradient, tf.convert_to_tensor(tape.gradient(expected, embeddings)), atol=1e-6)
