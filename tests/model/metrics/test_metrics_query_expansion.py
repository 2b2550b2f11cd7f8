"""Query expansion against loops."""

import numpy as np
import pytest
from helpers.metric_names import METRICS
from scipy.spatial.distance import cdist

from model.metrics import vectors
from model.metrics.search.query_expansion import definition, expand_queries


def plainly(
    query: np.ndarray, gallery: np.ndarray, k: int, alpha: float, metric: str, exclude: list[int]
) -> np.ndarray:
    if metric == "cosine":
        query, gallery = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (query, gallery))
    rows = []
    for q, passed in zip(query, exclude, strict=True):
        order = [j for j in np.argsort(cdist(q[None], gallery, metric)[0], kind="stable") if j != passed]
        total, weight = q.copy(), 1.0
        for j in order[:k]:
            cosine = q @ gallery[j] / np.linalg.norm(q) / np.linalg.norm(gallery[j])
            w = 1.0 if alpha == 0 else max(cosine, 0.0) ** alpha
            total, weight = total + w * gallery[j], weight + w
        mean = total / weight
        rows.append(mean / np.linalg.norm(mean) if metric == "cosine" else mean)
    return np.stack(rows)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("alpha", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("k", [1, 4, 30, 50])
def test_equals_loops(seed: int, metric: str, alpha: float, k: int) -> None:
    rng = np.random.default_rng(seed)
    query, gallery = rng.normal(size=(20, 5)), rng.normal(size=(30, 5))
    exclude = np.where(rng.random(20) < 0.5, rng.integers(0, 30, 20), -1)
    expected = plainly(query, gallery, k, alpha, metric, exclude.tolist())
    found = expand_queries(query, gallery, k, alpha=alpha, metric=metric, exclude=exclude)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_all_against_all_passes_the_image_itself_over(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(0).normal(size=(25, 4)).astype(np.float32)
    expected = plainly(points.astype(np.float64), points.astype(np.float64), 3, 0, "euclidean", list(range(25)))
    found = expand_queries(points, points, 3, metric="euclidean", exclude=np.arange(25))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    monkeypatch.setattr(vectors, "BLOCK", 30)  # the size of blocks changes nothing
    again = expand_queries(points, points, 3, metric="euclidean", exclude=np.arange(25), memory_gb=1e-8)
    np.testing.assert_allclose(again, found, rtol=0, atol=1e-12)


def test_opposite_and_zero_vectors_weigh_nothing() -> None:
    query, gallery = np.array([[1.0, 0.0]]), np.array([[-1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    np.testing.assert_allclose(expand_queries(query, gallery, 3, alpha=2.0, metric="cosine"), query)
    zero = expand_queries(np.zeros((1, 2)), np.zeros((2, 2)), 2, alpha=2.0, metric="cosine")
    np.testing.assert_array_equal(zero, [[0, 0]])
    alone = expand_queries(query, query, 5, metric="euclidean", exclude=np.zeros(1, np.int64))  # nothing but itself
    np.testing.assert_array_equal(alone, query)


def test_the_definition_names_the_settings() -> None:
    assert "its 5 nearest" in definition(5, 0.0)
    assert "cos^3" in definition(5, 3.0)
