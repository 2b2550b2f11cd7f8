"""Approximate search against exact search."""

import subprocess
import sys

import numpy as np
import pytest
from helpers.commands import ROOT
from helpers.metric_names import SQUARED
from scipy.spatial.distance import cdist

from model.metrics.search import approximate
from model.metrics.search.approximate import ApproximateIndex
from runtime.errors import UserError


def points(seed: int, number: int, dimensions: int = 16) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(9).normal(size=(60, dimensions))
    return (centres[rng.integers(0, 60, number)] + 0.4 * rng.normal(size=(number, dimensions)) + 3).astype(np.float32)


@pytest.fixture
def _cells(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    monkeypatch.setattr(approximate, "SMALL", 1000)


@pytest.mark.parametrize("metric", SQUARED)
@pytest.mark.parametrize("number", [1, 7, 300])
def test_a_small_gallery_is_searched_exactly(metric: str, number: int) -> None:
    pytest.importorskip("faiss")
    query, gallery = points(0, 20), points(1, number)
    indices, distances = ApproximateIndex(gallery, metric).search(query, 10)
    assert indices.shape == distances.shape == (20, 10)
    assert indices.dtype == np.int64
    exact = cdist(query.astype(float), gallery.astype(float), metric)
    order = np.argsort(exact, axis=1, kind="stable")[:, :10]
    np.testing.assert_array_equal(indices[:, : min(10, number)], order)
    np.testing.assert_allclose(distances[:, : min(10, number)], np.take_along_axis(exact, order, 1), atol=1e-12)
    assert (indices[:, number:] == -1).all()
    assert np.isinf(distances[:, number:]).all()


@pytest.mark.usefixtures("_cells")
@pytest.mark.parametrize("metric", SQUARED)
def test_cells_find_what_was_asked_for(metric: str) -> None:
    query, gallery = points(2, 200), points(3, 6000)
    index = ApproximateIndex(gallery, metric, seed=1, recall=0.9)
    assert 1 <= index.probed < index.cells
    indices, distances = index.search(query, 10)
    exact = cdist(query.astype(float), gallery.astype(float), metric)
    np.testing.assert_allclose(distances, np.take_along_axis(exact, indices, 1), atol=1e-12)
    assert (np.diff(distances, axis=1) >= 0).all()
    order = np.argsort(exact, axis=1)[:, :10]
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(indices.tolist(), order.tolist(), strict=True)])
    assert recall > 0.8
    assert index.recall_against_exact(query, 10, 200) == pytest.approx(recall)
    assert index.recall_against_exact(query, 10, 50, seed=2) == index.recall_against_exact(query, 10, 50, seed=2)


@pytest.mark.usefixtures("_cells")
def test_all_cells_are_exact_and_one_seed_one_index() -> None:
    query, gallery = points(4, 100), points(5, 3000)
    assert ApproximateIndex(gallery, "euclidean", recall=1.0).recall_against_exact(gallery[:300], 5) > 0.99
    first, again = (ApproximateIndex(gallery, "euclidean", seed=7).search(query, 5)[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.usefixtures("_cells")
def test_equal_images_are_no_loss() -> None:
    gallery = np.repeat(points(6, 50), 40, axis=0)
    index = ApproximateIndex(gallery, "euclidean")
    assert index.recall_against_exact(gallery[::40], 5) == 1.0


def test_faiss_has_nothing_to_warn_of() -> None:
    pytest.importorskip("faiss")
    code = """
import numpy as np
from model.metrics.search import approximate
approximate.SMALL = 30
for number in (40, 100, 1000):
    approximate.ApproximateIndex(np.random.default_rng(0).normal(size=(number, 8)), "cosine").search(np.ones((3, 8)), 4)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_faiss_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(UserError, match="pip install faiss-cpu"):
        ApproximateIndex(points(0, 20), "euclidean")


def test_wrong_settings_are_refused() -> None:
    pytest.importorskip("faiss")
    with pytest.raises(UserError, match="metric 'cityblock': here it must be one of euclidean, sqeuclidean, cosine"):
        ApproximateIndex(points(0, 20), "cityblock")
    with pytest.raises(UserError, match="16 dimensions"):
        ApproximateIndex(points(0, 20), "cosine").search(points(0, 3, 4), 2)
