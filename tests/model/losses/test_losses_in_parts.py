"""The losses in chunks, of two replicas, compiled and with a memory: the same as of the whole batch at once."""

import numpy as np
import pytest
import tensorflow as tf
from helpers.loss_batches import DRAWN, STRATEGIES, UNEVEN, random_batch, with_gradient
from helpers.loss_oracle import oracle
from helpers.metric_names import METRICS

from model.losses.triplet import Memory, triplet_loss


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_chunks_change_nothing(strategy, monkeypatch):
    """Chunks that divide the batch, and one that is filled up."""
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

    @tf.function(jit_compile=True)
    def compiled(variable, labels):
        with tf.GradientTape() as tape:
            tape.watch(variable)
            loss, _ = triplet_loss(strategy, labels, variable, 0.3, metric)
        return loss, tape.gradient(loss, variable)

    loss, gradient, _ = with_gradient(strategy, labels, embeddings, 0.3, metric)
    actual, actual_gradient = compiled(tf.constant(embeddings), tf.constant(labels))
    assert float(actual) == pytest.approx(loss, rel=1e-6)
    np.testing.assert_allclose(actual_gradient, gradient, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_parts_of_a_batch_add_up(strategy):
    """The shares of two replicas, each with half of the anchors, are the loss of the whole batch."""
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


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("strategy", [s for s in STRATEGIES if s not in [*DRAWN, "basic"]])
def test_memory_joins_without_gradient(strategy, metric):
    labels, embeddings = random_batch([3, 1, 2, 1, 1, 3, 9, 1, 2, 3, 3, 4, 0, 0, 0, 0, 3, 3], seed=4)
    here, filled = 8, np.array([True] * 6 + [False] * 4)
    memory = Memory(tf.constant(labels[here:]), tf.constant(embeddings[here:]), tf.constant(filled))
    loss, gradient, figures = with_gradient(strategy, labels[:here], embeddings[:here], 0.3, metric, memory=memory)
    kept = np.concatenate([np.ones(here, bool), filled])
    expected, expected_gradient, active, terms = oracle(
        strategy, labels[kept], embeddings[kept], 0.3, metric, anchors=here
    )
    assert loss == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient[:here], atol=1e-5 * np.abs(expected_gradient).max())
    assert float(figures.monitors()["valid_terms"]) == terms
    assert float(figures.monitors()["active_fraction"]) == pytest.approx(active)
    assert len(figures.total) == here
