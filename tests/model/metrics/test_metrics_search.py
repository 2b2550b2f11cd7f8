"""Nearest neighbours: exact search compared with sorting, approximate with exact search; query expansion."""

import sys

import numpy as np
import pytest
from helpers.commands import process
from helpers.metric_names import METRICS, SQUARED
from scipy.spatial.distance import cdist

from model.metrics import vectors
from model.metrics.search import approximate
from model.metrics.search.approximate import ApproximateIndex
from model.metrics.search.nearest import nearest
from model.metrics.search.query_expansion import expand_queries
from runtime.errors import UserError


def points(seed: int, number: int, dimensions: int = 16) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(9).normal(size=(60, dimensions))
    return (centres[rng.integers(0, 60, number)] + 0.4 * rng.normal(size=(number, dimensions)) + 3).astype(np.float32)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["clusters", "grid", "far from 0", "one far away", "tiny"])
@pytest.mark.parametrize("k", [1, 5, 60])
def test_nearest_equals_sorting_in_float64(metric: str, kind: str, k: int) -> None:
    rng = np.random.default_rng(k)
    query, gallery = points(k, 40, 6), points(k + 1, 60, 6)
    if kind == "grid":
        # Of length 4, so the cosine has no rounding errors.
        query, gallery = (rng.integers(0, 2, (n, 16)) * 2.0 - 1 for n in (40, 60))
        gallery[30:] = gallery[:30]
    elif kind == "far from 0":
        query, gallery = query + np.float32(1000), gallery + np.float32(1000)
    elif kind == "one far away":
        gallery[7] *= 1e6
    elif kind == "tiny":
        query, gallery = query.astype(np.float64) * 1e-30, gallery.astype(np.float64) * 1e-30
    exclude = np.where(rng.random(40) < 0.5, rng.integers(0, 60, 40), -1)
    expected = cdist(query.astype(np.float64), gallery.astype(np.float64), metric)
    hidden = exclude >= 0
    farthest = np.where(np.arange(60) == exclude[:, None], -np.inf, expected).max(1)
    expected[hidden, exclude[hidden]] = np.inf
    found = nearest(query, gallery, k, metric, exclude=exclude, farthest=True)
    order = np.argsort(expected.round(14) if kind == "grid" else expected, axis=1, kind="stable")[:, :k]
    values = np.take_along_axis(expected, order, 1)
    np.testing.assert_array_equal(found.indices, np.where(np.isfinite(values), order, -1))
    scale = 1e-9 * np.max(values, where=np.isfinite(values), initial=0) + 1e-15 * (metric == "cosine")
    np.testing.assert_allclose(found.distances, values, rtol=1e-9, atol=scale)
    np.testing.assert_allclose(found.farthest, farthest, rtol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_nearest_of_many_nearly_equal_vectors(seed: int) -> None:
    """Distances that float32 cannot distinguish are still in order."""
    rng = np.random.default_rng(seed)
    points = 1 + 1e-9 * rng.normal(size=(300, 64))
    points[:5] += 10
    expected = np.argsort(cdist(points, points, "sqeuclidean"), axis=1, kind="stable")[:, :11]
    np.testing.assert_array_equal(nearest(points, points, 11, "sqeuclidean").indices, expected)


def plainly(query: np.ndarray, gallery: np.ndarray, k: int, alpha: float, metric: str, exclude: list) -> np.ndarray:
    """The expanded queries, computed one by one."""
    if metric == "cosine":
        query, gallery = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (query, gallery))
    rows = []
    for q, passed in zip(query, exclude, strict=True):
        order = [j for j in np.argsort(cdist(q[None], gallery, metric)[0], kind="stable") if j != passed]
        near = gallery[order[:k]]
        cosines = near @ q / np.linalg.norm(q) / np.linalg.norm(near, axis=1)
        weights = np.maximum(cosines, 0) ** alpha if alpha else np.ones(len(near))
        mean = (q + weights @ near) / (1 + weights.sum())
        rows.append(mean / np.linalg.norm(mean) if metric == "cosine" else mean)
    return np.stack(rows)


@pytest.mark.parametrize(("seed", "block", "memory_gb"), [(0, 1 << 19, 1), (1, 30, 1e-8)])  # blocks change nothing
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("alpha", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("k", [1, 4, 30, 50])
def test_expansion_equals_loops(
    seed: int, block: int, memory_gb: float, metric: str, alpha: float, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "BLOCK", block)
    rng = np.random.default_rng(seed)
    query, gallery = rng.normal(size=(20, 5)), rng.normal(size=(30, 5))
    exclude = np.where(rng.random(20) < 0.5, rng.integers(0, 30, 20), -1)
    expected = plainly(query, gallery, k, alpha, metric, exclude.tolist())
    found = expand_queries(query, gallery, k, alpha=alpha, metric=metric, exclude=exclude, memory_gb=memory_gb)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_opposite_and_zero_vectors_weigh_nothing() -> None:
    query, gallery = np.array([[1.0, 0.0]]), np.array([[-1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    np.testing.assert_allclose(expand_queries(query, gallery, 3, alpha=2.0, metric="cosine"), query)
    zero = expand_queries(np.zeros((1, 2)), np.zeros((2, 2)), 2, alpha=2.0, metric="cosine")
    np.testing.assert_array_equal(zero, [[0, 0]])
    alone = expand_queries(query, query, 5, metric="euclidean", exclude=np.zeros(1, np.int64))  # no other image
    np.testing.assert_array_equal(alone, query)


@pytest.fixture
def _faiss() -> None:
    pytest.importorskip("faiss")


@pytest.fixture
def _cells(_faiss: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approximate, "SMALL", 1000)


@pytest.mark.usefixtures("_faiss")
@pytest.mark.parametrize("metric", SQUARED)
@pytest.mark.parametrize("number", [1, 7, 300])
def test_a_small_gallery_is_searched_exactly(metric: str, number: int) -> None:
    query, gallery = points(0, 20), points(1, number)
    indices, distances = ApproximateIndex(gallery, metric).search(query, 10)
    expected = nearest(query, gallery, 10, metric)
    missing = ((0, 0), (0, max(0, 10 - number)))
    np.testing.assert_array_equal(indices, np.pad(expected.indices, missing, constant_values=-1), strict=True)
    np.testing.assert_allclose(distances, np.pad(expected.distances, missing, constant_values=np.inf), atol=1e-12)


@pytest.mark.usefixtures("_cells")
@pytest.mark.parametrize("metric", SQUARED)
def test_cells_reach_the_required_recall(metric: str) -> None:
    query, gallery = points(2, 200), points(3, 6000)
    index = ApproximateIndex(gallery, metric, seed=1, recall=0.9)
    assert 1 <= index.probed < index.cells
    indices, distances = index.search(query, 10)
    exact = cdist(query.astype(float), gallery.astype(float), metric)
    np.testing.assert_allclose(distances, np.take_along_axis(exact, indices, 1), atol=1e-12)
    assert (np.diff(distances, axis=1) >= 0).all()
    recall = (distances <= np.sort(exact, axis=1)[:, 9:10] + 1e-12).mean()
    assert recall > 0.8
    assert index.recall_against_exact(query, 10, 200) == pytest.approx(recall)
    assert index.recall_against_exact(query, 10, 50, seed=2) == index.recall_against_exact(query, 10, 50, seed=2)


@pytest.mark.usefixtures("_cells")
def test_all_cells_are_exact_equal_images_count_and_a_seed_gives_one_index() -> None:
    query, gallery, equal = points(4, 100), points(5, 3000), np.repeat(points(6, 50), 40, axis=0)
    assert ApproximateIndex(gallery, "euclidean", recall=1.0).recall_against_exact(gallery[:300], 5) > 0.99
    assert ApproximateIndex(equal, "euclidean").recall_against_exact(equal[::40], 5) == 1.0
    first, again = (ApproximateIndex(gallery, "euclidean", seed=7).search(query, 5)[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.usefixtures("_faiss")
def test_faiss_prints_no_warnings() -> None:
    code = """
import numpy as np
from model.metrics.search import approximate
approximate.SMALL = 30
for number in (40, 100, 1000):
    approximate.ApproximateIndex(np.random.default_rng(0).normal(size=(number, 8)), "cosine").search(np.ones((3, 8)), 4)
"""
    done = process("-c", code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_faiss_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(UserError, match="pip install faiss-cpu"):
        ApproximateIndex(points(0, 20), "euclidean")


@pytest.mark.usefixtures("_faiss")
def test_wrong_settings_are_refused() -> None:
    with pytest.raises(UserError, match="metric 'cityblock' is not supported here; choose one of euclidean"):
        ApproximateIndex(points(0, 20), "cityblock")
    with pytest.raises(UserError, match="16 dimensions"):
        ApproximateIndex(points(0, 20), "cosine").search(points(0, 3, 4), 2)
