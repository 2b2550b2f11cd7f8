"""Batch statistics: metrics, samples of distances, hardest triplets and their pictures."""

import textwrap

import numpy as np
import pytest
import tensorflow as tf
from helpers.commands import process
from scipy.spatial.distance import cdist
from scipy.stats import entropy

from model.training.batch_pictures import batch_picture, triplets_picture
from model.training.batch_statistics import Triplet, batch_statistics, distance_samples, hardest_triplets, percentiles

METRICS = ["euclidean", "sqeuclidean", "cityblock", "cosine"]


def batch(labels, dimensions=6, seed=0):
    labels = np.asarray(labels)
    return labels, np.random.default_rng(seed).normal(size=(len(labels), dimensions)).astype(np.float32)


def statistics(labels, embeddings, metric="euclidean", k=4):
    return {n: float(v) for n, v in batch_statistics(tf.constant(labels), tf.constant(embeddings), metric, k).items()}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    "labels",
    [
        np.repeat([5, 3, 9], 4),
        [7, 1, 1, 2, 2, 2, 2, 2, 8],
        np.tile(np.arange(75), 4)[:257],
        np.repeat([b"a", b"b"], 64),
    ],
    ids=["PK", "identities of 1, 2 and 5 images", "more than two chunks", "one chunk, text"],
)
def test_neighbours_equal_loops(metric, labels):
    labels, embeddings = batch(labels)
    values = statistics(labels, embeddings, metric)
    distances = cdist(embeddings.astype(float), embeddings.astype(float), metric)
    top1, precision = [], []
    for i in range(len(labels)):
        distances[i, i] = np.inf
        if (labels == labels[i]).sum() > 1:
            hits = labels[np.argsort(distances[i])[:3]] == labels[i]
            top1.append(hits[0])
            precision.append(hits.mean())
    assert values["batch_top1"] == pytest.approx(np.mean(top1))
    assert values["batch_precision@K-1"] == pytest.approx(np.mean(precision))


def test_spread_equals_numpy():
    labels, embeddings = batch(np.repeat(range(10), 3), dimensions=5)
    embeddings = embeddings * [1, 5, 0.1, 3, 2] + 7
    values = statistics(labels, embeddings.astype(np.float32), k=3)
    singular = np.linalg.svd(embeddings - embeddings.mean(axis=0), compute_uv=False)
    assert values["embedding_norm"] == pytest.approx(np.linalg.norm(embeddings, axis=1).mean(), rel=1e-5)
    assert values["embedding_std"] == pytest.approx(embeddings.std(axis=0).mean(), rel=1e-5)
    assert values["embedding_std_min"] == pytest.approx(embeddings.std(axis=0).min(), rel=1e-4)
    assert values["effective_rank"] == pytest.approx(np.exp(entropy(singular)), rel=1e-4)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_effective_rank_counts_directions(scale):
    corners = scale * np.array([[1, 0, 0, 5], [-1, 0, 0, 5], [0, 1, 0, 5], [0, -1, 0, 5]], np.float32)
    assert statistics([0, 0, 1, 1], corners)["effective_rank"] == pytest.approx(2, rel=1e-4)
    assert statistics([0, 0, 1, 1], corners[[0, 1, 0, 1]])["effective_rank"] == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("point", [0.0, 0.1, 1e30])
def test_a_collapsed_batch_has_rank_0(point):
    noise = 1 + 1e-7 * np.random.default_rng(0).normal(size=(72, 16))
    for embeddings in (np.full((72, 16), point), point * noise):
        assert statistics(np.repeat(range(18), 4), embeddings.astype(np.float32))["effective_rank"] == 0


def test_batches_without_neighbours():
    assert statistics([1, 2, 3], np.eye(3, dtype=np.float32))["batch_top1"] == 0  # no positives
    assert statistics([1], np.ones((1, 3), np.float32))["batch_top1"] == 0
    pair = statistics([1, 1], np.eye(2, dtype=np.float32), k=4)  # fewer than K in the batch
    assert (pair["batch_top1"], pair["batch_precision@K-1"]) == (1, pytest.approx(1 / 3))


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("metric", METRICS)
def test_nan_and_infinite_embeddings(metric, broken):
    labels, embeddings = batch(np.repeat(range(4), 3))
    for rows in (slice(0, 1), slice(None)):
        embeddings[rows, 0] = broken
        values = statistics(labels, embeddings, metric)
        assert np.isfinite([values["batch_top1"], values["batch_precision@K-1"], values["effective_rank"]]).all()
        distance_samples(tf.constant(labels), tf.constant(embeddings), metric)
        for triplet in hardest_triplets(tf.constant(labels), tf.constant(embeddings), metric):
            assert np.isfinite([triplet.d_ap, triplet.d_an]).all()


def test_percentiles_of_the_finite_values():
    losses = np.arange(101, dtype=np.float32)
    values = {"loss": np.append(losses, [np.inf, np.nan]), "none": losses[:0], "broken": np.full(3, np.nan)}
    assert percentiles(values) == {"loss_p5": 5, "loss_p50": 50, "loss_p95": 95}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("anchors", [4, 128])
def test_distance_samples(metric, anchors):
    labels, embeddings = batch(np.repeat([3, 1, 2], 4))
    samples = distance_samples(tf.constant(labels), tf.constant(embeddings), metric, anchors)
    expected = {"all": [], "positive": [], "negative": []}
    distances = cdist(embeddings.astype(float), embeddings.astype(float), metric)
    for i in range(0, 12, 3) if anchors == 4 else range(12):
        for j in range(12):
            if i != j:
                expected["all"].append(distances[i, j])
                expected["positive" if labels[i] == labels[j] else "negative"].append(distances[i, j])
    assert samples.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(samples[name], values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("size", [40, 300])
def test_hardest_triplets_equal_loops(metric, size):
    labels, embeddings = batch(np.random.default_rng(1).integers(0, size // 4, size))
    distances = cdist(embeddings.astype(float), embeddings.astype(float), metric)
    rows = []
    for a in range(size):
        positives = [i for i in range(size) if labels[i] == labels[a] and i != a]
        negatives = [i for i in range(size) if labels[i] != labels[a]]
        if positives:
            p, n = max(positives, key=lambda i: distances[a, i]), min(negatives, key=lambda i: distances[a, i])
            rows.append((a, p, n, distances[a, p], distances[a, n]))
    rows.sort(key=lambda row: row[4] - row[3])
    first_of_identity = []
    for row in rows:
        if labels[row[0]] not in [labels[other[0]] for other in first_of_identity]:
            first_of_identity.append(row)
    triplets = hardest_triplets(tf.constant(labels), tf.constant(embeddings), metric, count=5)
    assert [triplet[:3] for triplet in triplets] == [row[:3] for row in first_of_identity[:5]]
    np.testing.assert_allclose([t[3:] for t in triplets], [row[3:] for row in first_of_identity[:5]], rtol=1e-4)


def test_hardest_triplets_of_few_identities():
    line = np.array([0, 1, 3, 10, 11, 13], np.float32)[:, None]
    labels = tf.constant([0, 0, 0, 1, 1, 1])
    triplets = hardest_triplets(labels, tf.constant(line), "euclidean", count=3)
    assert [t.anchor for t in triplets] == [2, 3, 4]  # d_ap - d_an = -4, -4, -6
    assert len(hardest_triplets(labels, tf.constant(line), "euclidean", count=20)) == 6
    assert hardest_triplets(tf.constant([1, 2, 3]), tf.constant(line[:3]), "euclidean") == []
    assert hardest_triplets(tf.constant([1, 1, 1]), tf.constant(line[:3]), "euclidean") == []


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["euclidean", "cityblock"])
def test_large_batches_take_little_memory(metric):
    memory = """
        import resource, sys
        import numpy as np, tensorflow as tf
        from model.training.batch_statistics import batch_statistics, distance_samples, hardest_triplets
        def look(size):
            labels, embeddings = tf.range(size) // 4, tf.random.normal((size, 128))
            assert len(hardest_triplets(labels, embeddings, sys.argv[1])) == 8
            batch_statistics(labels, embeddings, sys.argv[1], 4)
            distance_samples(labels, embeddings, sys.argv[1])
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        before = look(256)
        print(look(2048) - before)
    """
    done = process("-c", textwrap.dedent(memory), metric)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 60  # MB; one (2048, 2048) matrix of float64 alone has 34


def test_batch_picture_has_a_column_per_identity():
    images = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 5, 3), np.uint8)
    picture = batch_picture(images, batch_k=2)
    assert picture.shape == (2 * 6, 3 * 7, 3)
    assert picture[3::6, 3::7, 0].tolist() == [[0, 2, 4], [1, 3, 5]]
    assert (picture[0] == 128).all()


@pytest.mark.parametrize("shape", [(32, 32, 3), (28, 28, 1), (128, 64, 3), (200, 220, 3), (1, 1, 1)])
def test_triplets_picture_shows_the_images(shape):
    images = np.random.default_rng(0).integers(0, 256, (6, *shape), dtype=np.uint8)
    rows = [Triplet(0, 1, 2, 0.5, 12345.678), Triplet(5, 4, 3, 2.0, 1e-9)]
    picture = triplets_picture(images, rows)
    assert picture.dtype == np.uint8
    factor = -(-96 // shape[1])
    height, width = shape[0] * factor, shape[1] * factor
    for row, triplet in enumerate(rows):
        y = 19 + 6 + row * (height + 31) + 3
        for column, index in enumerate(triplet[:3]):
            x = 6 + column * (width + 12) + 3
            shown = picture[y : y + height, x : x + width]
            enlarged = np.kron(images[index], np.ones((factor, factor, 1), np.uint8))
            np.testing.assert_array_equal(shown, np.broadcast_to(enlarged, (height, width, 3)))


def test_triplets_picture_marks_right_and_wrong():
    images = np.full((3, 96, 96, 3), 255, np.uint8)

    def colours(d_ap, d_an):
        picture = triplets_picture(images, [Triplet(0, 1, 2, d_ap, d_an)]).astype(int)
        positive = picture[60, 6 + 108]  # on the frame
        assert (picture[60, 6 + 2 * 108] == positive).all()
        below = picture[25 + 102 : 25 + 102 + 19, 6 + 108 :]
        assert (below < 200).any()  # the distances
        words = picture[25 + 102 : 25 + 102 + 19, 6 + 2 * 108 :].min(axis=2) < 200
        return "green" if positive[1] > positive[0] else "vermilion", words

    (right, said_right), (wrong, said_wrong), (equal, _) = (colours(*d) for d in [(0.5, 0.6), (0.7, 0.6), (0.6, 0.6)])
    assert [right, wrong, equal] == ["green", "vermilion", "vermilion"]
    assert (said_right != said_wrong).any()  # equal distances, different words


def test_triplets_picture_without_triplets():
    assert triplets_picture(np.zeros((2, 32, 32, 1), np.uint8), []).min() < 200  # headings
