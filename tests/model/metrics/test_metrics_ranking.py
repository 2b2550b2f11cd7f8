"""Ranks by counting, compared with sorting: ties, tiles, approximate distances, operating points, real lists."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.metric_names import METRICS
from helpers.retrieval_oracle import by_sorting, evaluate_distances, left_out, manifest, random_case
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_curve

from benchmarks.evaluation import embeddings, from_lists
from model.evaluation.request import Request
from model.metrics.ranking import match_ranks as ranking
from model.metrics.ranking import retrieval
from model.metrics.ranking.gallery_distances import EmbeddingDistances, exact_distances
from model.metrics.ranking.per_query.cmc import compute_cmc_curve
from model.metrics.ranking.retrieval import RetrievalResult, evaluate_retrieval, make_task
from model.metrics.single_shot import single_shot_metrics


def assert_sorted(result: RetrievalResult, expected: dict[int, tuple[dict[str, float], int]]) -> None:
    """The result of `by_sorting`."""
    for name, values in result.per_query.items():
        assert np.flatnonzero(~np.isnan(values)).tolist() == list(expected)
        sorted_values = [row[name] for row, _ in expected.values()]
        np.testing.assert_allclose(values[list(expected)], sorted_values, rtol=0, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("ties", list(ranking.TIES))
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_ties_of_given_distances(ties: str, seed: int, dtype: type) -> None:
    """A matrix of distances with many ties, junk, and queries without a match."""
    _, _, query, gallery = random_case(seed, 40, 300)
    distances = (np.random.default_rng(seed).integers(0, 40, (40, 300)) / 7).astype(dtype)
    result = evaluate_distances(distances, query, gallery, "market1501", ties=ties)
    assert_sorted(result, by_sorting(distances, query, gallery, "market1501", ties))
    assert result.definitions["ties"].startswith(ties)


@pytest.mark.parametrize("ties", list(ranking.TIES))
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("points", ["corners of a cube", "few"])
def test_ties_of_embeddings(ties: str, metric: str, points: str) -> None:
    """Distances have few values, and rounding must neither make nor break ties."""
    random = np.random.default_rng(1)
    _, _, query, gallery = random_case(1, 40, 300)
    few = np.array([[1, 2, 2, 0, 0, 0], [2, 1, 0, 2, 0, 0], [0, 3, 0, 0, 0, 0], [1, 1, 1, 1, 2, 1]], np.float32)
    places = few if points == "few" else random.choice([0.1, 0.7], (40, 7)).astype(np.float32)
    query_emb, gallery_emb = (places[random.integers(0, len(places), len(m))] for m in (query, gallery))
    exact = cdist(query_emb.astype(float), gallery_emb.astype(float), metric).round(9)
    result = evaluate_retrieval(query_emb, gallery_emb, query, gallery, "market1501", metric, ties=ties)
    assert_sorted(result, by_sorting(exact, query, gallery, "market1501", ties))


@pytest.mark.parametrize("many", [0, 1200], ids=["sorted", "counted"])
@pytest.mark.parametrize(("columns", "rows"), [(1024, 1000), (2048, 7), (8192, 1000)])
def test_tiles_do_not_change_the_result(many: int, columns: int, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    _, _, query, gallery = random_case(0, 40, 5000)
    emb = random.standard_normal((len(query), 12)), random.standard_normal((len(gallery), 12))
    expected = by_sorting(cdist(*emb), query, gallery, "market1501")
    monkeypatch.setattr(ranking, "TILE_COLUMNS", columns)
    monkeypatch.setattr(ranking, "MANY", many)
    memory_gb = rows * retrieval.BYTES_PER_QUERY / 1e9
    assert_sorted(evaluate_retrieval(*emb, query, gallery, "market1501", "euclidean", memory_gb), expected)


@pytest.mark.parametrize("dimensions", [3, 128, 2048])
@pytest.mark.parametrize("kind", ["random", "parallel", "far", "outliers", "collapsed"])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_approximate_distances_are_within_their_slack(dimensions: int, kind: str, metric: str) -> None:
    random = np.random.default_rng(dimensions)
    query, gallery = (random.standard_normal((count, dimensions)) for count in (30, 500))
    if kind == "parallel":
        common = 3 * random.standard_normal((1, dimensions))
        query, gallery = common + 0.1 * query, np.where(random.random((500, 1)) < 0.5, common, -common) + 0.1 * gallery
    elif kind == "far":
        query, gallery = query + 1000, gallery + 1000
    elif kind == "outliers":
        gallery[:20] *= 1e4
    elif kind == "collapsed":
        query, gallery = 1 + 1e-5 * query, 1 + 1e-5 * gallery
    distances = EmbeddingDistances(query.astype(np.float32), gallery.astype(np.float32), metric)
    rows, columns = np.divmod(np.arange(30 * 500), 500)
    exact = distances.pairs(rows, columns)
    error = np.abs(distances.tile(np.arange(30), slice(0, 500)).ravel() - exact)
    # For images near the given distance, which might be counted wrongly.
    assert (error <= distances.slack(rows, exact)).all()


@pytest.mark.parametrize("place", [0, 4, 9, 150])
def test_distances_that_float32_cannot_distinguish(place: int) -> None:
    """200 images of 200 identities, with distances that differ in the eighth digit; the match is number `place`."""
    random = np.random.default_rng(0)
    direction = random.standard_normal(64)
    direction /= np.linalg.norm(direction)
    order = np.concatenate([[place], random.permutation(np.delete(np.arange(200), place))])
    gallery_emb = (3 + order[:, None] * 3e-8) * direction
    labels, query = manifest(list(range(200)), [0] * 200), manifest([0], [1], "q")
    result = evaluate_retrieval(np.zeros((1, 64)), gallery_emb, query, labels, "diagonal", "euclidean", fpr=0.5)
    assert result.per_query["first_rank"].tolist() == [place + 1]
    threshold = np.sort(np.linalg.norm(gallery_emb[1:], axis=1))[99]  # 99 of the 199 non-matches may be accepted
    assert result.metrics["threshold@fpr=0.5"] == pytest.approx(threshold, rel=1e-13)
    assert result.metrics["tpr@fpr=0.5"] == (place < 100)
    distances = EmbeddingDistances(np.zeros((1, 64)), gallery_emb, "euclidean")
    shot, _ = single_shot_metrics(make_task(query, labels, "diagonal"), distances, "pessimistic")
    assert [shot[f"cmc_single_shot@{k}"] for k in (1, 5, 10, 20)] == [float(place < k) for k in (1, 5, 10, 20)]


@pytest.mark.parametrize("metric", METRICS)
def test_all_distances_at_once_are_those_of_the_pairs(metric: str) -> None:
    random = np.random.default_rng(0)
    first, second = (random.normal(size=(count, 5)).astype(np.float32) for count in (7, 4))
    first[2], second[1], second[3] = 0, 0, first[0]  # zero vectors, and equal rows
    pairs = EmbeddingDistances(first, second, metric)
    expected = pairs.in_units(pairs.pairs(*np.divmod(np.arange(28), 4))).reshape(7, 4)
    np.testing.assert_allclose(exact_distances(first, second, metric), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("fpr", [0.001, 0.01, 0.3])
def test_operating_point_is_that_of_the_roc_curve(fpr: float) -> None:
    random = np.random.default_rng(0)
    _, _, query, gallery = random_case(0, 40, 2000)
    emb = random.standard_normal((len(query), 3)), random.standard_normal((len(gallery), 3))
    distances = cdist(*emb)
    result = evaluate_distances(distances, query, gallery, "market1501", fpr=fpr)
    same, keep = query.identities[:, None] == gallery.identities, ~left_out(query, gallery, "market1501")
    keep &= (same & keep).any(1)[:, None]  # queries without a match are skipped
    false_rate, true_rate, _ = roc_curve(same[keep], -distances[keep], drop_intermediate=False)
    assert result.metrics[f"tpr@fpr={fpr:g}"] == pytest.approx(true_rate[false_rate <= fpr].max(), abs=1e-12)
    threshold = result.metrics[f"threshold@fpr={fpr:g}"]
    accepted = distances < threshold
    assert accepted[keep & ~same].mean() <= fpr
    assert accepted[keep & same].mean() == result.metrics[f"tpr@fpr={fpr:g}"]
    assert Request.fpr == retrieval.FPR  # the default of the command line, defined without heavy imports
    for metric, unit in (("euclidean", threshold), ("sqeuclidean", threshold**2)):
        of_embeddings = evaluate_retrieval(*emb, query, gallery, "market1501", metric, fpr=fpr).metrics
        assert of_embeddings[f"threshold@fpr={fpr:g}"] == pytest.approx(unit, rel=1e-6)


def test_without_non_matches_there_is_no_threshold() -> None:
    metrics = evaluate_distances(
        np.array([[1.0, 2.0]]), manifest(["a"], prefix="q"), manifest(["a", "a"]), "diagonal"
    ).metrics
    assert metrics["tpr@fpr=0.001"] == 1
    assert not any(name.startswith("threshold") for name in metrics)


def test_compute_cmc_curve() -> None:
    np.testing.assert_allclose(compute_cmc_curve(np.array([1.0, 3.0, 3.0, 9.0]), 5), [0.25, 0.25, 0.75, 0.75, 0.75])


@pytest.mark.parametrize("count", [150, pytest.param(3368, marks=pytest.mark.slow)])
def test_real_lists(count: int, shared_data: Path) -> None:
    """Market-1501's lists, with cameras from the file names, and random embeddings."""
    query, gallery = from_lists(shared_data / "reid_lists")
    query_emb, gallery_emb = embeddings(query, gallery, 128)
    rows = np.random.default_rng(0).choice(len(query), count, replace=False)
    query, query_emb = query.select(rows), query_emb[rows]
    distances = cdist(query_emb.astype(float), gallery_emb.astype(float))
    expected = by_sorting(distances, query, gallery, "market1501")
    assert len(expected) == count
    assert_sorted(evaluate_distances(distances, query, gallery, "market1501"), expected)
    named = replace(query, cameras=None), replace(gallery, cameras=None)
    assert_sorted(evaluate_retrieval(query_emb, gallery_emb, *named, "market1501", "euclidean"), expected)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spread", [1e-1, 1e-3, 3e-4])
def test_nearly_parallel_embeddings(metric: str, spread: float) -> None:
    """Distances that float32 products cannot distinguish, also at the operating point."""
    random = np.random.default_rng(0)
    identities = np.arange(1500) // 15
    centres = random.standard_normal((100, 24))
    emb = random.standard_normal((1, 24)) * 3 + spread * (centres[identities] + random.standard_normal((1500, 24)))
    emb = emb.astype(np.float32)
    labels = manifest(identities.tolist())
    query = labels.select(np.arange(0, 1500, 10))
    unit = emb.astype(float)
    if metric == "cosine":  # from differences: 1 - cos would cancel
        unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
        exact = cdist(unit[::10], unit, "sqeuclidean") / 2
    else:
        exact = cdist(unit[::10], unit, metric)
    expected = evaluate_distances(exact, query, labels, "diagonal")
    result = evaluate_retrieval(emb[::10], emb, query, labels, "diagonal", metric)
    assert result.metrics == pytest.approx(expected.metrics, rel=1e-9, abs=1e-7)
    assert 0.001 < result.metrics["tpr@fpr=0.001"] < 0.99
