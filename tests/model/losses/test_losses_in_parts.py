"""The losses in chunks, on two replicas, compiled, and for extreme and invalid batches."""

import math
from functools import partial

import numpy as np
import pytest
import tensorflow as tf
from helpers.loss_batches import DRAWN, PK, STRATEGIES, UNEVEN, loss_tensors, random_batch, with_gradient
from helpers.metric_names import METRICS

from model.losses.triplet import Memory, triplet_loss
from runtime.errors import UserError


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_chunks_change_nothing(strategy, monkeypatch):
    """Chunks that divide the batch, and a padded one."""
    labels, embeddings = random_batch(np.random.default_rng(0).integers(0, 9, 51), dimensions=8)
    whole = with_gradient(strategy, labels, embeddings, 0.3, "euclidean")
    for size in (17, 20):
        monkeypatch.setattr("model.losses.chunks.CHUNK", size)
        parts = with_gradient(strategy, labels, embeddings, 0.3, "euclidean")
        assert parts[0] == pytest.approx(whole[0], rel=1e-6)
        np.testing.assert_allclose(parts[1], whole[1], atol=1e-7)
        for one, other in zip(parts[2], whole[2], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("strategy", "metric"), [(s, "euclidean") for s in STRATEGIES] + [("batch_all", m) for m in METRICS[1:]]
)
def test_xla_computes_the_same(strategy, metric, monkeypatch):
    monkeypatch.setattr("model.losses.chunks.CHUNK", 10)
    labels, embeddings = random_batch(np.random.default_rng(0).integers(0, 9, 24))
    compiled = tf.function(partial(loss_tensors, strategy, margin=0.3, metric=metric), jit_compile=True)
    loss, gradient, _ = with_gradient(strategy, labels, embeddings, 0.3, metric)
    actual, actual_gradient, _ = compiled(labels=tf.constant(labels), embeddings=tf.constant(embeddings))
    assert float(actual) == pytest.approx(loss, rel=1e-6)
    np.testing.assert_allclose(actual_gradient, gradient, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_parts_of_a_batch_add_up(strategy):
    """The shares of two replicas, each with half of the anchors, add up to the loss of the whole batch."""
    labels, embeddings = UNEVEN
    whole = with_gradient(strategy, labels, embeddings, 0.3, "euclidean")
    sums = []

    def collect(x):
        sums.append(x)
        return x

    for start in (0, 6):
        triplet_loss(strategy, labels, embeddings, 0.3, "euclidean", anchors=(start, 6), all_reduce=collect)
    options = {"all_reduce": lambda x: sums[0] + sums[1]}
    parts = [with_gradient(strategy, labels, embeddings, 0.3, "euclidean", anchors=(s, 6), **options) for s in (0, 6)]
    assert parts[0][0] + parts[1][0] == pytest.approx(whole[0], rel=1e-6)
    np.testing.assert_allclose(parts[0][1] + parts[1][1], whole[1], atol=1e-7)
    for part in parts:
        for one, other in zip(part[2], whole[2], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("metric", METRICS)
def test_extremes_are_finite(strategy, metric):
    labels, embeddings = PK
    for scale in (1e4, 1e-12, 1e-20):
        loss, gradient, values = with_gradient(strategy, labels, embeddings * np.float32(scale), 0.3, metric)
        assert np.isfinite(loss)
        assert np.isfinite(gradient).all()
        assert all(np.isfinite(value.numpy()).all() for value in values)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_nan_or_infinite_embeddings_make_the_loss_nan(strategy, metric, broken):
    labels, embeddings = PK[0], PK[1].copy()
    embeddings[4, 2] = broken
    loss, _ = triplet_loss(strategy, labels, tf.constant(embeddings), 0.3, metric)
    assert math.isnan(float(loss))


@pytest.mark.parametrize(("strategy", "metric"), [("hardest", "euclidean"), ("batch_hard", "hamming")])
def test_the_error_for_unknown_names_lists_the_choices(strategy, metric):
    with pytest.raises(UserError, match=r"batch_all, batch_hard|one of euclidean, sqeuclidean"):
        triplet_loss(strategy, tf.zeros([4]), tf.zeros([4, 2]), 0.1, metric)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_labels_of_any_size_and_half_precision(strategy):
    labels, embeddings = PK
    expected = float(triplet_loss(strategy, labels, embeddings, 0.3, "euclidean")[0])
    if strategy != DRAWN:  # its draw depends on the order of the labels
        extremes = tf.constant(np.array([-(2**63), 0, 2**63 - 1, 7])[labels])
        empty = Memory(tf.zeros([5], tf.int64), tf.ones([5, 6]), tf.zeros([5], tf.bool))
        for memory in (None, None if strategy == "basic" else empty):
            loss, _ = triplet_loss(strategy, extremes, embeddings, 0.3, "euclidean", memory=memory)
            assert float(loss) == pytest.approx(expected)
    half, gradient, _ = with_gradient(strategy, labels, tf.constant(embeddings, tf.bfloat16), 0.3, "euclidean")
    assert half == pytest.approx(expected, rel=0.05)
    assert gradient.dtype == tf.bfloat16
