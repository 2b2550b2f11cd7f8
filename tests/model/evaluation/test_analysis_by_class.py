"""Metrics by class and confusions, compared with brute force."""

import numpy as np
import pytest
from helpers.metric_names import METRICS
from helpers.retrieval_oracle import by_sorting, manifest, random_case
from scipy.spatial.distance import cdist
from scipy.stats import binomtest

from dataset.formats.manifest import Manifest
from model.evaluation.by_class.analysis import RANKING_METRICS, Analysis, analyze, wilson_interval
from model.evaluation.by_class.confusion import NearestWrong
from model.metrics.ranking.gallery_distances import EmbeddingDistances
from model.metrics.ranking.retrieval import evaluate_retrieval, make_task


def case(seed: int, excluder: str, tied: bool) -> tuple[np.ndarray, np.ndarray, Manifest, Manifest]:
    """Clusters, or few distinct points; junk (-1), distractors (0), queries without a match."""
    all_against_all = excluder == "diagonal"  # with classes of one image
    query_emb, gallery_emb, query, gallery = random_case(seed, 40, 15 if all_against_all else 90)
    if tied:
        points = np.array([[1, 2, 2, 0], [2, 1, 0, 2], [0, 3, 0, 0], [1, 1, 1, 2], [2, 2, 1, 0]], np.float32)
        which = np.random.default_rng(seed).integers(0, 5, 130)
        query_emb, gallery_emb = points[which[:40]], points[which[40:][: len(gallery)]]
    return (gallery_emb, gallery_emb, gallery, gallery) if all_against_all else (query_emb, gallery_emb, query, gallery)


def mean_of(rows: list[dict]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in RANKING_METRICS}


def analysis_of(query_emb, gallery_emb, query: Manifest, gallery: Manifest, excluder: str, metric: str) -> Analysis:
    task = make_task(query, gallery, excluder)
    distances = EmbeddingDistances(query_emb[task.queries], task.of_gallery(gallery_emb), metric)
    return analyze(task, distances, query.identities, gallery.identities, metric)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("excluder", ["diagonal", "market1501"])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("seed", range(3))
def test_against_brute_force(metric: str, excluder: str, tied: bool, seed: int) -> None:
    """Metrics and counts equal those of the evaluation exactly; the oracle finds confusions by sorting."""
    query_emb, gallery_emb, query, gallery = given = case(seed, excluder, tied)
    got, result = analysis_of(*given, excluder, metric), evaluate_retrieval(*given, excluder, metric)
    assert got.metrics == {name: result.metrics[name] for name in RANKING_METRICS}
    assert result.counts.items() <= got.counts.items()

    distances = cdist(query_emb.astype(float), gallery_emb.astype(float), metric)
    if tied:  # ignore rounding of float64
        distances = distances.round(9)
    classes: dict[str, list[dict]] = {}
    wrong: dict[tuple[str, str], list[tuple[float, int, int]]] = {}  # class, other class: distances, queries, images
    for i, (row, j) in by_sorting(distances, query, gallery, excluder).items():
        classes.setdefault(query.identities[i], []).append(row)
        if row["first_rank"] > 1:
            wrong.setdefault((query.identities[i], gallery.identities[j]), []).append((distances[i, j], i, j))

    expected = {name: mean_of(rows) for name, rows in classes.items()}
    assert got.class_means == pytest.approx(mean_of(list(expected.values())), abs=1e-12)
    order = sorted(expected, key=lambda name: (expected[name]["recall@1"], round(expected[name]["map"], 12), name))
    assert [one.name for one in got.classes] == order
    for one in got.classes:
        assert one.metrics == pytest.approx(expected[one.name], abs=1e-12)
        assert one.queries == len(classes[one.name])
        assert one.queries + one.skipped == (query.identities == one.name).sum()
    assert len(set(query.identities)) == got.counts["classes"] > got.counts["classes_used"] == len(expected)

    assert {(c.query_class, c.found_class): c.count for c in got.confusions} == {k: len(v) for k, v in wrong.items()}
    for one in got.confusions:
        distance, *images = min(wrong[one.query_class, one.found_class])
        assert [one.query, one.image] == images
        assert one.distance == pytest.approx(distance, abs=1e-7)
        assert one.share == one.count / len(classes[one.query_class])
    assert got.counts["queries_wrong"] == sum(map(len, wrong.values())) > 0

    assert [pair.count for pair in got.pairs] == sorted((pair.count for pair in got.pairs), reverse=True)
    for pair in got.pairs:
        first, second = pair.classes
        there, back = wrong.pop((first, second)), wrong.pop((second, first), [])
        assert pair.counts == (len(there), len(back))
        assert pair.count == len(there) + len(back) <= 2 * len(there)
        assert pair.share == pair.count / (len(classes[first]) + len(classes.get(second, [])))
        assert pair.example.distance == pytest.approx(min(there + back)[0], abs=1e-7)
    assert not wrong  # no pair of classes is missing


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("width", [1, 7, 64, 200])
def test_nearest_wrong_is_exact(metric: str, width: int) -> None:
    """Points that are equal in single precision, in several tiles: the nearest in float64 is found."""
    rng = np.random.default_rng(width)
    gallery = (1000 + rng.integers(0, 3, (200, 3)) * 2.0**-13 + rng.integers(0, 2, (200, 3))).astype(np.float32)
    query = (gallery[rng.integers(0, 200, 30)] + 2.0**-14).astype(np.float32)
    hidden = rng.random((30, 200)) < 0.3
    hidden[3] = True  # a query with matches only
    distances = EmbeddingDistances(query, gallery, metric)
    wrong, rows = NearestWrong(distances), np.arange(30)
    for start in range(0, 200, width):
        tile = distances.tile(rows, slice(start, min(start + width, 200)))
        tile[hidden[:, start : start + width]] = np.inf
        wrong.see(tile, rows, start)
    exact = np.array([distances.pairs(np.full(200, row), np.arange(200)) for row in rows])
    exact[hidden] = np.inf
    equal = exact <= exact.min(1, keepdims=True) + distances.same(exact.min(1, keepdims=True))
    first = np.where(np.isfinite(exact.min(1)), equal.argmax(1), -1)
    np.testing.assert_array_equal(wrong.columns, first)
    np.testing.assert_allclose(wrong.distances, exact.min(1), rtol=1e-11, atol=1e-13)


def test_wilson_interval() -> None:
    """Equal to SciPy's, with a width at both ends."""
    for trials in (1, 2, 5, 40, 1000):
        for successes in {0, 1, trials // 3, trials}:
            low, high = wilson_interval(np.array([successes]), np.array([trials]))
            expected = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
            assert (low[0], high[0]) == pytest.approx((expected.low, expected.high), abs=1e-12)
            assert 0 <= low[0] < high[0] <= 1


def test_nothing_is_confused() -> None:
    """A single class, and classes far apart: no pairs, no division by zero."""
    for identities in (["a"] * 4, ["a", "a", "b", "b"]):
        emb = np.array([[ord(name), 0.1 * i] for i, name in enumerate(identities)], np.float32)
        images = manifest(identities, prefix="q")
        got = analysis_of(emb, emb, images, images, "diagonal", "euclidean")
        assert got.metrics["recall@1"] == got.class_means["map"] == 1
        assert got.confusions == got.pairs == []
        assert got.counts["queries_wrong"] == 0
