"""Retrieval metrics, compared with published loops, brute force and cases computed by hand.

Rounding neither makes nor breaks a tie, and ties count against the match.
"""

import numpy as np
import pytest
from helpers.metric_names import METRICS
from helpers.retrieval_oracle import NAMES, POINT, brute_force, manifest, random_case, ranked
from scipy.spatial.distance import cdist

from model.metrics.ranking.retrieval import evaluate_retrieval
from runtime.errors import UserError


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("excluder", ["market1501", "duke", "mars", "diagonal", "all against all"])
def test_against_brute_force(metric: str, excluder: str) -> None:
    query_emb, gallery_emb, query, gallery = random_case(0)
    if excluder == "all against all":
        query_emb, query, excluder = gallery_emb, gallery, "diagonal"
    result = evaluate_retrieval(query_emb, gallery_emb, query, gallery, excluder, metric)
    distances = cdist(query_emb.astype(float), gallery_emb.astype(float), metric)
    assert list(result.metrics) == NAMES + POINT
    assert {"ties", "map@r", *POINT, *(name.split("@")[0] for name in NAMES)} <= set(result.definitions)
    assert result.definitions["metric"] == metric
    assert result.definitions["excluder"].startswith(excluder)
    assert ranked(result) == pytest.approx(brute_force(distances, query, gallery, excluder), abs=1e-12)
    assert (result.counts["queries_used"] == len(query)) == (query is gallery)  # other cases have queries to skip


@pytest.mark.parametrize(
    ("hits", "expected"),
    [
        # One query at 0, gallery at 1, 2, 3, ...; 1 marks a match.
        ([1], {"map": 1, "map_market": 1, "minp": 1, "map@r": 1, "r_precision": 1, "cmc@1": 1}),
        ([1, 1], {"map": 1, "map_market": 1, "minp": 1, "map@r": 1, "r_precision": 1}),
        ([0, 1], {"map": 1 / 2, "map_market": 1 / 4, "minp": 1 / 2, "map@r": 0, "r_precision": 0, "cmc@1": 0}),
        ([0, 1, 0], {"cmc@1": 0, "cmc@5": 1, "recall@1": 0, "recall@2": 1}),
        ([0, 0, 1], {"cmc@10": 1, "recall@2": 0, "recall@4": 1, "map": 1 / 3, "map_market": 1 / 6}),
        ([1, 0, 1], {"map": 5 / 6, "map_market": (1 + (1 / 2 + 2 / 3) / 2) / 2, "minp": 2 / 3, "map@r": 1 / 2}),
        ([1, 0, 1], {"r_precision": 1 / 2}),
        ([0, 1, 1], {"map": (1 / 2 + 2 / 3) / 2, "map@r": 1 / 4, "r_precision": 1 / 2, "minp": 2 / 3}),
        ([0, 0, 0, 0, 1], {"cmc@5": 1, "recall@4": 0, "recall@8": 1}),
        ([0, 0, 0, 0, 0, 1], {"cmc@5": 0, "cmc@10": 1}),
        ([0] * 9 + [1], {"cmc@10": 1, "recall@8": 0, "minp": 1 / 10}),
        ([0] * 10 + [1], {"cmc@10": 0}),
        ([0] * 7 + [1], {"recall@8": 1}),
        ([0] * 8 + [1], {"recall@8": 0}),
        ([1, 0], {"cmc@10": 1, "recall@8": 1}),  # a gallery smaller than k
    ],
)
def test_by_hand(hits: list[int], expected: dict[str, float]) -> None:
    line = np.arange(1.0, len(hits) + 1)[:, None]
    gallery = manifest(["same" if hit else f"other{i}" for i, hit in enumerate(hits)])
    result = evaluate_retrieval(
        np.zeros((1, 1)), line, manifest(["same"], prefix="q"), gallery, "diagonal", "euclidean"
    )
    assert {name: result.metrics[name] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize(
    ("excluder", "metric", "rows", "bad", "message"),
    [
        ("duke", "euclidean", 29, 0, "30 images, but embeddings of shape 29 x 6"),
        ("none", "euclidean", 30, 0, "diagonal, duke, market1501, mars"),
        ("duke", "l2", 30, 0, "euclidean, sqeuclidean, cityblock, cosine"),
        ("duke", "cosine", 30, np.nan, r"2 of 80 .* g3.jpg"),
        ("duke", "cosine", 30, np.inf, r"2 of 80 .* g3.jpg"),
    ],
)
def test_wrong_arguments(excluder: str, metric: str, rows: int, bad: float, message: str) -> None:
    query_emb, gallery_emb, *labels = random_case(0)
    gallery_emb[[3, 9], 1] = bad
    with pytest.raises(UserError, match=message):
        evaluate_retrieval(query_emb[:rows], gallery_emb, *labels, excluder, metric)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("size", "images"), [(1, 301), (13, 301), (64, 301), (16, 4000)])  # 4,000: in portions
@pytest.mark.parametrize("zero", [True, False])
def test_collapsed_network(metric: str, size: int, images: int, zero: bool) -> None:
    """All images are at one point: every non-match ranks first."""
    row = np.zeros(size) if zero else np.random.default_rng(size).standard_normal(size)
    embeddings = np.tile(row.astype(np.float32), (images, 1))
    everything = manifest([i // 3 for i in range(images)])
    query = everything.select(np.arange(images - 301, images))
    result = evaluate_retrieval(embeddings[-301:], embeddings, query, everything, "diagonal", metric)
    assert result.metrics["cmc@10"] == result.metrics[POINT[0]] == 0
    assert result.per_query["first_rank"][:300].tolist() == [images - 2] * 300  # images - 3 non-matches come first
    assert result.counts["queries_skipped_identity_absent"] == 1


@pytest.mark.parametrize("metric", METRICS)
def test_equal_gallery_rows_tie_exactly(metric: str) -> None:
    """A copy of the match with another identity ranks before it, wherever the two are in the gallery."""
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
    """Images 6e-5 apart, at distance 333 from the origin, are distinguished, and ties remain ties."""
    query_emb, gallery_emb, query, gallery = random_case(4)
    near = [1000 / 3 + np.round(2 * emb.astype(float)) * 2.0**-14 for emb in (query_emb, gallery_emb)]
    distances = cdist(*near, "sqeuclidean").round(15)  # from differences, exact except for the last digits
    result = evaluate_retrieval(*near, query, gallery, "market1501", "euclidean")
    assert ranked(result) == pytest.approx(brute_force(distances, query, gallery, "market1501"), abs=1e-12)


def test_parallel_vectors_tie_in_cosine() -> None:
    """Multiples of the query all have distance 0, in spite of rounding."""
    rng = np.random.default_rng(0)
    direction = rng.standard_normal(33)
    gallery_emb = (rng.uniform(0.1, 10, (60, 1)) * direction).astype(np.float32)
    gallery = manifest(["match", *["other"] * 59])
    query = manifest(["match"], prefix="q")
    result = evaluate_retrieval(direction[None].astype(np.float32), gallery_emb, query, gallery, "diagonal", "cosine")
    assert result.per_query["first_rank"].tolist() == [60]
