"""Ties and rounding in retrieval: rounding neither makes nor breaks a tie, and ties count against the match."""

import numpy as np
import pytest
from helpers.metric_names import METRICS
from helpers.retrieval_oracle import POINT, brute_force, manifest, random_case, ranked
from scipy.spatial.distance import cdist

from model.metrics.ranking.retrieval import evaluate_retrieval


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("seed", range(5))
def test_ties_against_brute_force(metric: str, seed: int) -> None:
    """Few different embeddings: nearly everything ties. Rounding must neither make nor break a tie."""
    query_emb, gallery_emb, query, gallery = random_case(seed)
    rng = np.random.default_rng(seed)
    points = np.array([[1, 2, 2, 0, 0, 0], [2, 1, 0, 2, 0, 0], [0, 3, 0, 0, 0, 0], [1, 1, 1, 1, 2, 1]], np.float32)
    query_emb, gallery_emb = points[rng.integers(0, 4, len(query))], points[rng.integers(0, 4, len(gallery))]
    distances = cdist(query_emb, gallery_emb, metric).round(9)
    result = evaluate_retrieval(query_emb, gallery_emb, query, gallery, "market1501", metric)
    assert ranked(result) == pytest.approx(brute_force(distances, query, gallery, "market1501"), abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("size", [1, 13, 64])
@pytest.mark.parametrize("zero", [True, False])
def test_collapsed_network(metric: str, size: int, zero: bool) -> None:
    """All images at one point: every non-match ranks first."""
    row = np.zeros(size) if zero else np.random.default_rng(size).standard_normal(size)
    embeddings = np.tile(row.astype(np.float32), (301, 1))
    everything = manifest([i // 3 for i in range(301)])
    result = evaluate_retrieval(embeddings, embeddings, everything, everything, "diagonal", metric)
    assert result.metrics["cmc@10"] == 0
    assert result.per_query["first_rank"][:300].tolist() == [299] * 300  # 298 of other identities come first
    assert result.counts["queries_skipped_identity_absent"] == 1


@pytest.mark.parametrize("metric", METRICS)
def test_equal_gallery_rows_tie_exactly(metric: str) -> None:
    """A copy of the match under another identity ranks before it, wherever in the gallery the two stand."""
    rng = np.random.default_rng(0)
    for size in (1, 5, 31, 64, 300):
        rows = rng.standard_normal((257, size)).astype(np.float32)
        gallery_emb = np.concatenate([rows, rows])
        gallery = manifest([*range(257), *["other"] * 257])
        query = manifest(list(range(257)), prefix="q")
        result = evaluate_retrieval(rows, gallery_emb, query, gallery, "diagonal", metric)
        assert result.metrics["cmc@1"] == 0
        if size > 1:
            assert set(result.per_query["first_rank"]) == {2}


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("metric", METRICS)
def test_size_of_the_embeddings_does_not_matter(metric: str, scale: float) -> None:
    query_emb, gallery_emb, query, gallery = random_case(3)
    expected = evaluate_retrieval(query_emb, gallery_emb, query, gallery, "market1501", metric)
    large = [(emb.astype(float) * scale).astype(np.float32) for emb in (query_emb, gallery_emb)]
    result = evaluate_retrieval(*large, query, gallery, "market1501", metric)
    assert ranked(result) == pytest.approx(ranked(expected))
    power = {"cosine": 0, "sqeuclidean": 2}.get(metric, 1)
    assert result.metrics[POINT[1]] == pytest.approx(expected.metrics[POINT[1]] * scale**power, rel=1e-5)


def test_nearly_collapsed_network() -> None:
    """Images 6e-5 apart, at 333 from the origin: told apart, and what ties still ties."""
    query_emb, gallery_emb, query, gallery = random_case(4)
    near = [1000 / 3 + np.round(2 * emb.astype(float)) * 2.0**-14 for emb in (query_emb, gallery_emb)]
    distances = cdist(*near, "sqeuclidean").round(15)  # from differences, exact but for the last digits
    result = evaluate_retrieval(*near, query, gallery, "market1501", "euclidean")
    assert ranked(result) == pytest.approx(brute_force(distances, query, gallery, "market1501"), abs=1e-12)


def test_parallel_vectors_tie_in_cosine() -> None:
    """Multiples of the query are all at distance 0, whatever rounding makes of them."""
    rng = np.random.default_rng(0)
    direction = rng.standard_normal(33)
    gallery_emb = (rng.uniform(0.1, 10, (60, 1)) * direction).astype(np.float32)
    gallery = manifest(["match", *["other"] * 59])
    query = manifest(["match"], prefix="q")
    result = evaluate_retrieval(direction[None].astype(np.float32), gallery_emb, query, gallery, "diagonal", "cosine")
    assert result.per_query["first_rank"].tolist() == [60]
