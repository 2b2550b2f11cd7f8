"""The losses of extreme, tiny and broken batches, and of labels of any size."""

import math

import numpy as np
import pytest
import tensorflow as tf
from helpers.loss_batches import DRAWN, PK, STRATEGIES, changed, with_gradient
from helpers.metric_names import METRICS

from model.losses.triplet import Memory, triplet_loss
from runtime.errors import UserError


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("metric", METRICS)
def test_extremes_are_finite(strategy, metric):
    for scale in (1e4, 1e-12, 1e-20):
        labels, embeddings = PK
        loss, gradient, figures = with_gradient(strategy, labels, embeddings * np.float32(scale), 0.3, metric)
        assert np.isfinite(loss)
        assert np.isfinite(gradient).all()
        assert all(np.isfinite(value.numpy()).all() for value in figures)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("size", [1, 2])
def test_the_smallest_batches(strategy, size):
    labels, embeddings = np.arange(size), np.ones((size, 3), np.float32)
    loss, gradient, _ = with_gradient(strategy, labels, embeddings, 0.3, "euclidean")
    assert loss == 0
    assert not gradient.any()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_broken_embeddings_show_in_the_loss(strategy, metric, broken):
    labels, embeddings = changed(PK, lambda e: e.__setitem__((4, 2), broken))
    loss, _ = triplet_loss(strategy, labels, tf.constant(embeddings), 0.3, metric)
    assert math.isnan(float(loss))


@pytest.mark.parametrize(("strategy", "metric"), [("hardest", "euclidean"), ("batch_hard", "hamming")])
def test_unknown_names_are_answered_with_the_choices(strategy, metric):
    with pytest.raises(UserError, match=r"batch_all, batch_hard|one of euclidean, sqeuclidean"):
        triplet_loss(strategy, tf.zeros([4]), tf.zeros([4, 2]), 0.1, metric)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_labels_of_any_size_and_half_precision(strategy):
    labels, embeddings = PK
    expected, _ = triplet_loss(strategy, labels, tf.constant(embeddings), 0.3, "euclidean")
    if strategy not in DRAWN:  # whose draw depends on how labels sort
        extremes = tf.constant(np.array([-(2**63), 0, 2**63 - 1, 7])[labels])
        assert float(triplet_loss(strategy, extremes, embeddings, 0.3, "euclidean")[0]) == pytest.approx(
            float(expected)
        )
        empty = Memory(tf.zeros([5], tf.int64), tf.ones([5, 6]), tf.zeros([5], tf.bool))
        if strategy != "basic":
            loss, _ = triplet_loss(strategy, extremes, embeddings, 0.3, "euclidean", memory=empty)
            assert float(loss) == pytest.approx(float(expected))
    half, gradient, _ = with_gradient(strategy, labels, tf.constant(embeddings, tf.bfloat16), 0.3, "euclidean")
    assert half == pytest.approx(float(expected), rel=0.05)
    assert gradient.dtype == tf.bfloat16
