"""Retrieval figures against published loops, scikit-learn, brute force and cases worked by hand."""

import numpy as np
import pytest
from helpers.metric_names import METRICS
from helpers.retrieval_oracle import NAMES, POINT, brute_force, brute_mask, manifest, random_case, ranked
from scipy.spatial.distance import cdist
from sklearn.metrics import average_precision_score

from model.metrics.ranking import retrieval
from model.metrics.ranking.retrieval import evaluate_retrieval
from runtime.errors import UserError


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("excluder", ["market1501", "duke", "diagonal"])
def test_against_brute_force(metric: str, excluder: str) -> None:
    query_emb, gallery_emb, query, gallery = random_case(0)
    result = evaluate_retrieval(query_emb, gallery_emb, query, gallery, excluder, metric)
    distances = cdist(query_emb.astype(float), gallery_emb.astype(float), metric)
    assert list(result.metrics) == NAMES + POINT
    assert ranked(result) == pytest.approx(brute_force(distances, query, gallery, excluder), abs=1e-12)
    assert result.counts["queries_used"] < len(query)  # the case has queries to skip


@pytest.mark.parametrize("metric", METRICS)
def test_all_against_all(metric: str) -> None:
    _, gallery_emb, _, gallery = random_case(1)
    result = evaluate_retrieval(gallery_emb, gallery_emb, gallery, gallery, "diagonal", metric)
    distances = cdist(gallery_emb.astype(float), gallery_emb.astype(float), metric)
    assert ranked(result) == pytest.approx(brute_force(distances, gallery, gallery, "diagonal"), abs=1e-12)
    assert result.counts["queries_used"] == len(gallery)


def test_average_precision_of_scikit_learn() -> None:
    query_emb, gallery_emb, query, gallery = random_case(2)
    result = evaluate_retrieval(query_emb, gallery_emb, query, gallery, "market1501", "euclidean")
    mask, distances = brute_mask(query, gallery, "market1501"), cdist(query_emb, gallery_emb)
    for i in range(len(query)):
        match = (gallery.identities == query.identities[i]) & ~mask[i]
        if match.any():
            keep = ~mask[i]
            assert result.per_query["map"][i] == pytest.approx(
                average_precision_score(match[keep], -distances[i, keep])
            )
        else:
            assert np.isnan(result.per_query["map"][i])
            assert np.isnan(result.per_query["first_rank"][i])
    assert result.metrics["map"] == pytest.approx(np.nanmean(result.per_query["map"]))


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
    ],
)
def test_by_hand(hits: list[int], expected: dict[str, float]) -> None:
    line = np.arange(1.0, len(hits) + 1)[:, None]
    gallery = manifest(["same" if hit else f"other{i}" for i, hit in enumerate(hits)])
    result = evaluate_retrieval(
        np.zeros((1, 1)), line, manifest(["same"], prefix="q"), gallery, "diagonal", "euclidean"
    )
    assert {name: result.metrics[name] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_blocks_do_not_change_the_result(rows: int) -> None:
    query_emb, gallery_emb, query, gallery = random_case(5)
    whole = evaluate_retrieval(query_emb, gallery_emb, query, gallery, "market1501", "euclidean")
    memory_gb = rows * retrieval.BYTES_PER_QUERY / 1e9
    parts = evaluate_retrieval(query_emb, gallery_emb, query, gallery, "market1501", "euclidean", memory_gb)
    assert parts.metrics == pytest.approx(whole.metrics)
    assert parts.counts == whole.counts
    np.testing.assert_array_equal(parts.per_query["first_rank"], whole.per_query["first_rank"])


def test_tiny_gallery() -> None:
    query, gallery = manifest(["a"], prefix="q"), manifest(["b", "b", "a"])
    result = evaluate_retrieval(np.zeros((1, 2)), np.eye(3, 2), query, gallery, "diagonal", "euclidean")
    assert result.metrics["cmc@10"] == 1
    assert all(0 <= value <= 1 for name, value in result.metrics.items() if "rank" not in name and name != POINT[1])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_embeddings_are_named(bad: float) -> None:
    query_emb, gallery_emb, query, gallery = random_case(0)
    gallery_emb[[3, 9], 1] = bad
    with pytest.raises(UserError, match=r"2 of 80 .* g3.jpg"):
        evaluate_retrieval(query_emb, gallery_emb, query, gallery, "market1501", "euclidean")


def test_wrong_arguments() -> None:
    query_emb, gallery_emb, query, gallery = random_case(0)
    cases = [
        (
            (query_emb[1:], gallery_emb, query, gallery, "duke", "euclidean"),
            "30 images, but embeddings of shape 29 x 6",
        ),
        ((query_emb[:, 1:], gallery_emb, query, gallery, "duke", "euclidean"), "5 and 6 dimensions"),
        ((query_emb, gallery_emb, query, gallery, "none", "euclidean"), "diagonal, duke, market1501, mars"),
        ((query_emb, gallery_emb, query, gallery, "duke", "l2"), "euclidean, sqeuclidean, cityblock, cosine"),
    ]
    for arguments, message in cases:
        with pytest.raises(UserError, match=message):
            evaluate_retrieval(*arguments)


def test_definitions_name_what_was_computed() -> None:
    query_emb, gallery_emb, query, gallery = random_case(0)
    definitions = evaluate_retrieval(query_emb, gallery_emb, query, gallery, "duke", "cosine").definitions
    assert definitions["metric"] == "cosine"
    assert definitions["excluder"].startswith("duke")
    assert {name if name in definitions else name.split("@")[0] for name in NAMES} <= set(definitions)
    assert set(POINT) <= set(definitions)
    assert "ties" in definitions
