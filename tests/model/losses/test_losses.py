"""Every strategy against loops over the definition in float64, and against TensorFlow Addons."""

import math

import numpy as np
import pytest
import tensorflow as tf
from helpers.loss_oracle import cost, distance, oracle
from helpers.metric_names import METRICS
from helpers.tensorflow_addons_oracle import load_triplet_losses

from model.losses.distances import pairwise
from model.losses.triplet import Memory, triplet_loss
from runtime import plugins
from runtime.errors import UserError

STRATEGIES = plugins.choices("model.losses.strategies")
DRAWN = ["batch_sample"]  # the one whose terms are random
MARGINS = [0.0, 0.3, "soft", "none"]


def random_batch(labels, seed=0, dimensions=6):
    return np.array(labels), np.random.default_rng(seed).normal(size=(len(labels), dimensions)).astype(np.float32)


def changed(batch, function):
    labels, embeddings = batch
    embeddings = embeddings.copy()
    function(embeddings)
    return labels, embeddings


PK = random_batch(np.repeat(range(4), 3))
UNEVEN = random_batch([3, 1, 2, 1, 1, 3, 9, 1, 2, 3, 3, -7], seed=1)


def duplicates(e):
    e[1] = e[0]  # of one identity
    e[5] = e[4] = e[9]  # of several


def lattice(e):
    e[:] = np.random.default_rng(2).integers(0, 2, e.shape)


def far_away(e):
    e *= 1e-3
    e += 7.3


BATCHES = {
    "pk": PK,
    "uneven": UNEVEN,
    "duplicates": changed(PK, duplicates),
    "uneven duplicates": changed(UNEVEN, duplicates),
    "tied": changed(PK, lattice),
    "uneven tied": changed(UNEVEN, lattice),
    "collapsed": changed(PK, lambda e: e.__setitem__(slice(None), e[0])),
    "collapsed to 0": changed(PK, lambda e: e.fill(0)),
    "nearly collapsed": changed(PK, far_away),
    "one direction": changed(PK, lambda e: e.__iadd__(1e3)),
    "one image each": random_batch([0, 1, 2]),
    "one identity": random_batch([5, 5, 5]),
}


def with_gradient(strategy, labels, embeddings, margin, metric, **options):
    variable = tf.constant(embeddings)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        loss, figures = triplet_loss(strategy, tf.constant(labels), variable, margin, metric, **options)
    return float(loss), tape.gradient(loss, variable).numpy(), figures


def assert_equal(strategy, labels, embeddings, margin, metric, what="", **options):
    loss, gradient, figures = with_gradient(strategy, labels, embeddings, margin, metric, **options)
    expected, expected_gradient, active, terms = oracle(strategy, labels, embeddings, margin, metric, **options)
    assert loss == pytest.approx(expected, rel=1e-5, abs=1e-7), what
    scale = np.abs(expected_gradient).max()
    # Where all gradients are 0, rounding may leave something of the size of the last digit of a weight.
    floor = 2e-8 if scale < 1e-12 else 0.0
    np.testing.assert_allclose(gradient, expected_gradient, rtol=0, atol=1e-5 * scale + floor, err_msg=what)
    monitors = figures.monitors()
    assert float(monitors["valid_terms"]) == terms
    if scale or margin not in (0.0, "none"):  # at the edge of f > 0 rounding decides
        assert float(monitors["active_fraction"]) == pytest.approx(active, abs=1e-6), what


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize("strategy", [s for s in STRATEGIES if s not in DRAWN])
def test_loss_and_gradient_equal_the_definition(strategy, margin, metric):
    for name, (labels, embeddings) in BATCHES.items():
        assert_equal(strategy, labels, embeddings, margin, metric, name)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("margin", MARGINS)
def test_batch_all_over_all_valid_triples(margin, metric):
    for name, (labels, embeddings) in BATCHES.items():
        assert_equal("batch_all", labels, embeddings, margin, metric, name, batch_all_mean="valid")


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("strategy", [s for s in STRATEGIES if s not in DRAWN])
def test_the_oracle_s_gradient_is_that_of_its_loss(strategy, metric):
    """Finite differences, where nothing ties."""
    labels, embeddings = UNEVEN
    _, gradient, *_ = oracle(strategy, labels, embeddings, 0.3, metric)
    for i, j in [(0, 0), (3, 2), (6, 5), (9, 1)]:
        shift = np.zeros(embeddings.shape)
        shift[i, j] = 1e-6
        up, down = (oracle(strategy, labels, embeddings + s, 0.3, metric)[0] for s in (shift, -shift))
        assert gradient[i, j] == pytest.approx((up - down) / 2e-6, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("margin", MARGINS)
def test_batch_sample_is_a_valid_draw(margin, metric):
    for name in ("pk", "uneven", "duplicates", "collapsed", "one image each", "one identity"):
        labels, embeddings = BATCHES[name]
        loss, gradient, figures = with_gradient("batch_sample", labels, embeddings, margin, metric, seed=(3, 7))
        total, expected, valid = 0.0, np.zeros(embeddings.shape), 0
        for a in range(len(labels)):
            positives = [i for i in range(len(labels)) if labels[i] == labels[a] and i != a]
            negatives = [i for i in range(len(labels)) if labels[i] != labels[a]]
            if not positives or not negatives:
                assert not float(figures.count[a])
                continue
            d = [distance(embeddings[a].astype(float), e.astype(float), metric) for e in embeddings]
            costs = {(p, n): cost(d[p][0] - d[n][0], margin) for p in positives for n in negatives}
            (p, n), (value, slope) = min(costs.items(), key=lambda item: abs(item[1][0] - float(figures.total[a])))
            assert value == pytest.approx(float(figures.total[a]), rel=1e-5, abs=1e-6)
            total, valid = total + value, valid + 1
            for image, sign in ((p, slope), (n, -slope)):
                expected[a] += sign * d[image][1]
                expected[image] += sign * distance(embeddings[image].astype(float), embeddings[a], metric)[1]
        assert loss == pytest.approx(total / max(1, valid), rel=1e-5, abs=1e-6)
        if name in ("pk", "uneven") and margin in ("soft", "none"):  # elsewhere several draws cost the same
            np.testing.assert_allclose(gradient, expected / valid, rtol=1e-5, atol=1e-6)
        assert np.isfinite(gradient).all()


def test_batch_sample_draws_evenly():
    labels, embeddings = random_batch([1, 0, 0, 0, 2, 1], dimensions=3)
    d = np.linalg.norm(embeddings[2] - embeddings, axis=1)
    pairs = {(p, n): d[p] - d[n] for p in (1, 3) for n in (0, 4, 5)}
    function = tf.function(
        lambda seed: triplet_loss("batch_sample", labels, embeddings, "none", "euclidean", seed=seed)[1].total[2]
    )
    drawn = [float(function(tf.constant([5, step]))) for step in range(1200)]
    counts = [np.isclose(drawn, x, atol=1e-5).sum() for x in pairs.values()]
    assert sum(counts) == 1200
    assert min(counts) > 200 - 5 * math.sqrt(200)


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
@pytest.mark.parametrize("size", [1, 2])
def test_the_smallest_batches(strategy, size):
    labels, embeddings = np.arange(size), np.ones((size, 3), np.float32)
    loss, gradient, _ = with_gradient(strategy, labels, embeddings, 0.3, "euclidean")
    assert loss == 0
    assert not gradient.any()


def test_batches_of_unknown_size():
    labels, embeddings = UNEVEN
    expected, expected_gradient, _ = with_gradient("batch_all", labels, embeddings, 0.3, "cityblock")

    @tf.function(input_signature=[tf.TensorSpec([None, 6]), tf.TensorSpec([None], tf.int64)])
    def function(variable, labels):
        with tf.GradientTape() as tape:
            tape.watch(variable)
            loss, _ = triplet_loss("batch_all", labels, variable, 0.3, "cityblock")
        return loss, tape.gradient(loss, variable)

    loss, gradient = function(embeddings, labels)
    assert float(loss) == pytest.approx(expected)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-7)


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


@pytest.mark.parametrize("strategy", [s for s in STRATEGIES if s not in [*DRAWN, "basic"]])
def test_empty_memory_changes_nothing(strategy):
    labels, embeddings = UNEVEN
    empty = Memory(tf.zeros([5], tf.int64), tf.ones([5, 6]), tf.zeros([5], tf.bool))
    plain = with_gradient(strategy, labels, embeddings, 0.3, "euclidean")
    other = with_gradient(strategy, labels, embeddings, 0.3, "euclidean", memory=empty)
    assert other[0] == pytest.approx(plain[0], rel=1e-6)
    np.testing.assert_allclose(other[1], plain[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_broken_embeddings_show_in_the_loss(strategy, metric, broken):
    labels, embeddings = changed(PK, lambda e: e.__setitem__((4, 2), broken))
    loss, _ = triplet_loss(strategy, labels, tf.constant(embeddings), 0.3, metric)
    assert math.isnan(float(loss))


def test_arguments_are_checked():
    embeddings = tf.zeros([4, 2])
    with pytest.raises(ValueError, match=r"\(4, 1\)"):
        triplet_loss("batch_hard", tf.zeros([4, 1]), embeddings, 0.1, "euclidean")
    with pytest.raises(ValueError, match="empty"):
        triplet_loss("batch_hard", tf.zeros([0]), tf.zeros([0, 2]), 0.1, "euclidean")
    with pytest.raises(ValueError, match="3 labels for 4 embeddings"):
        triplet_loss("batch_hard", tf.zeros([3]), embeddings, 0.1, "euclidean")
    with pytest.raises(UserError, match="batch_all, batch_hard"):
        triplet_loss("hardest", tf.zeros([4]), embeddings, 0.1, "euclidean")
    with pytest.raises(ValueError, match="metric"):
        triplet_loss("batch_hard", tf.zeros([4]), embeddings, 0.1, "hamming")
    with pytest.raises(ValueError, match="margin"):
        triplet_loss("batch_hard", tf.zeros([4]), embeddings, "sof", "euclidean")
    for margin in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="margin"):
            triplet_loss("batch_hard", tf.zeros([4]), embeddings, margin, "euclidean")
    memory = Memory(tf.zeros([4]), embeddings, tf.ones([4], tf.bool))
    with pytest.raises(ValueError, match="basic"):
        triplet_loss("basic", tf.zeros([4]), embeddings, 0.1, "euclidean", memory=memory)
    with pytest.raises(ValueError, match="batch_all_mean"):
        triplet_loss("batch_all", tf.zeros([4]), embeddings, 0.1, "euclidean", batch_all_mean="nonzero")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_labels_of_any_kind_and_half_precision(strategy):
    labels, embeddings = PK
    expected, _ = triplet_loss(strategy, labels, tf.constant(embeddings), 0.3, "euclidean")
    if strategy not in DRAWN:  # whose draw depends on how labels sort
        names = tf.constant([f"id{label}" for label in -labels])
        assert float(triplet_loss(strategy, names, embeddings, 0.3, "euclidean")[0]) == pytest.approx(float(expected))
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


@pytest.mark.parametrize("metric", METRICS)
def test_distances_equal_scipy(metric):
    from scipy.spatial.distance import cdist

    random = np.random.default_rng(0)
    a, b = random.normal(size=(5, 7)).astype(np.float32), random.normal(size=(4, 7)).astype(np.float32)
    b[2] = a[3]
    expected = cdist(a.astype(float), b.astype(float), metric)
    np.testing.assert_allclose(pairwise(a, b, metric), expected, rtol=1e-6, atol=1e-12)
    assert pairwise(a, b, metric)[3, 2] == 0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("strategy", "theirs", "labels", "metric", "their_metric"),
    [
        ("tf_batch_semi_hard", "triplet_semihard_loss", [0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 4], "euclidean", "L2"),
        ("tf_batch_semi_hard", "triplet_semihard_loss", [0, 0, 0, 1, 1, 1, 1, 2, 2, 3], "sqeuclidean", "squared-L2"),
        ("tf_batch_semi_hard", "triplet_semihard_loss", [*range(20)] * 4, "euclidean", "L2"),
        # Addons' hard loss counts anchors without a positive, so every label comes twice here.
        ("batch_hard", "triplet_hard_loss", [0, 0, 0, 1, 1, 1, 1, 2, 2], "euclidean", "L2"),
        ("batch_hard", "triplet_hard_loss", [*range(20)] * 4, "sqeuclidean", "squared-L2"),
    ],
)
def test_equals_tensorflow_addons(seed, strategy, theirs, labels, metric, their_metric):
    addons = load_triplet_losses()
    embeddings = np.random.default_rng(seed).normal(size=(len(labels), 8))
    embeddings = tf.math.l2_normalize(tf.constant(embeddings, tf.float32), axis=1)
    loss, gradient, _ = with_gradient(strategy, labels, embeddings, 1.0, metric)
    function = getattr(addons, theirs)
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        expected = function(tf.constant(labels), embeddings, margin=1.0, distance_metric=their_metric)
    np.testing.assert_allclose(loss, expected, atol=1e-6)
    np.testing.assert_allclose(gradient, tf.convert_to_tensor(tape.gradient(expected, embeddings)), atol=1e-6)
