"""Retrieval figures against published loops, scikit-learn, brute force and cases worked by hand."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from helpers.metric_names import METRICS
from scipy.spatial.distance import cdist
from sklearn.metrics import average_precision_score

from dataset.formats.manifest import Manifest
from model.metrics.excluders import find_excluder
from model.metrics.ranking import retrieval
from model.metrics.ranking.labels import encode_labels, match_lists
from model.metrics.ranking.retrieval import RetrievalResult, evaluate_retrieval
from runtime.errors import UserError

NAMES = [*(f"cmc@{k}" for k in (1, 5, 10)), *(f"recall@{k}" for k in (1, 2, 4, 8))]
NAMES += ["map", "map_market", "minp", "map@r", "r_precision", "average_rank", "first_rank"]
POINT = ["tpr@fpr=0.001", "threshold@fpr=0.001"]


def manifest(identities: list, cameras: list | None = None, prefix: str = "g", paths: list | None = None) -> Manifest:
    def text(values: list) -> np.ndarray:
        return np.array([str(value) for value in values], object)

    paths = paths or [f"{prefix}{i}.jpg" for i in range(len(identities))]
    return Manifest(
        text(identities), text(paths), Path(), Path(f"{prefix}.csv"), None if cameras is None else text(cameras)
    )


def brute_mask(query: Manifest, gallery: Manifest, excluder: str) -> np.ndarray:
    mask = np.zeros((len(query), len(gallery)), bool)
    for i in range(len(query)):
        for j in range(len(gallery)):
            if excluder == "diagonal":
                mask[i, j] = query.paths[i] == gallery.paths[j]
            else:
                same = query.identities[i] == gallery.identities[j] and query.cameras[i] == gallery.cameras[j]
                mask[i, j] = same or gallery.identities[j] == "-1"
    return mask


def market_ap(good: set[int], order: list[int]) -> float:
    """The loop of the code published with Market-1501 (compute_AP), junk being left out of `order`."""
    old_recall, old_precision, ap, intersect = 0.0, 1.0, 0.0, 0
    for j, image in enumerate(order):
        if image in good:
            intersect += 1
        recall, precision = intersect / len(good), intersect / (j + 1)
        ap += (recall - old_recall) * ((old_precision + precision) / 2)
        old_recall, old_precision = recall, precision
        if intersect == len(good):
            break
    return ap


def brute_force(distances: np.ndarray, query: Manifest, gallery: Manifest, excluder: str) -> dict[str, float]:
    """Every figure by sorting, with ties against the matches; the mean over queries with a match."""
    mask, rows = brute_mask(query, gallery, excluder), []
    for i in range(len(query)):
        keep = [j for j in range(len(gallery)) if not mask[i, j]]
        good = {j for j in keep if gallery.identities[j] == query.identities[i]}
        if not good:
            continue
        order = sorted(keep, key=lambda j: (distances[i, j], j in good))
        hits = [j in good for j in order]
        precisions = [sum(hits[: k + 1]) / (k + 1) for k in range(len(hits))]
        total, last = len(good), max(k for k, hit in enumerate(hits) if hit) + 1
        row = {name: float(any(hits[: int(name.split("@")[1])])) for name in NAMES[:7]}
        row["map"] = sum(p for p, hit in zip(precisions, hits, strict=True) if hit) / total
        row["map_market"] = market_ap(good, order)
        row["minp"] = total / last
        row["map@r"] = sum(p for p, hit in zip(precisions[:total], hits, strict=False) if hit) / total
        row["r_precision"] = sum(hits[:total]) / total
        places = [k + 1 for k, hit in enumerate(hits) if hit]
        row["average_rank"], row["first_rank"] = sum(places) / total, places[0]
        rows.append(row)
    return {name: float(np.mean([row[name] for row in rows])) for name in NAMES}


def ranked(result: RetrievalResult) -> dict[str, float]:
    """The figures that come from ranks."""
    return {name: value for name, value in result.metrics.items() if name not in POINT}


def random_case(seed: int, queries: int = 30, images: int = 80) -> tuple[np.ndarray, np.ndarray, Manifest, Manifest]:
    """Embeddings with some structure, 8 identities, junk and distractors, 3 cameras; some queries without a match."""
    rng = np.random.default_rng(seed)
    query_ids, gallery_ids = rng.integers(1, 11, queries), rng.integers(-1, 9, images)
    centres = rng.standard_normal((12, 6))
    query_emb = (centres[query_ids] + rng.standard_normal((queries, 6))).astype(np.float32)
    gallery_emb = (centres[gallery_ids] + rng.standard_normal((images, 6))).astype(np.float32)
    query = manifest(query_ids.tolist(), rng.integers(0, 3, queries).tolist(), "q")
    return query_emb, gallery_emb, query, manifest(gallery_ids.tolist(), rng.integers(0, 3, images).tolist())


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
            assert result.aps[i] == pytest.approx(average_precision_score(match[keep], -distances[i, keep]))
        else:
            assert np.isnan(result.aps[i])
            assert result.first_ranks[i] == 0
    assert result.metrics["map"] == pytest.approx(np.nanmean(result.aps))


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
    assert result.first_ranks[:300].tolist() == [299] * 300  # 298 of other identities come first
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
            assert set(result.first_ranks) == {2}


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
    assert result.first_ranks.tolist() == [60]


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_blocks_do_not_change_the_result(rows: int) -> None:
    query_emb, gallery_emb, query, gallery = random_case(5)
    whole = evaluate_retrieval(query_emb, gallery_emb, query, gallery, "market1501", "euclidean")
    memory_gb = rows * retrieval.BYTES_PER_QUERY / 1e9
    parts = evaluate_retrieval(query_emb, gallery_emb, query, gallery, "market1501", "euclidean", memory_gb)
    assert parts.metrics == pytest.approx(whole.metrics)
    assert parts.counts == whole.counts
    np.testing.assert_array_equal(parts.first_ranks, whole.first_ranks)


def left_out(query: Manifest, gallery: Manifest, excluder: str) -> np.ndarray:
    """(Q, G) mask of what the excluder leaves out."""
    rules = find_excluder(excluder)
    lists = match_lists(*encode_labels(query, gallery, rules.CAMERAS), rules.left_out)
    mask = np.zeros((len(query), len(gallery)), bool)
    mask[np.repeat(np.arange(len(query)), np.diff(lists.left_out_offsets)), lists.left_out] = True
    return mask | np.isin(gallery.identities.astype(str), rules.JUNK)


@pytest.mark.parametrize("excluder", ["diagonal", "market1501", "duke", "mars"])
def test_excluders_against_brute_force(excluder: str) -> None:
    _, _, query, gallery = random_case(6)
    for first in (query, gallery):
        np.testing.assert_array_equal(left_out(first, gallery, excluder), brute_mask(first, gallery, excluder))


def test_a_file_listed_under_two_identities_is_left_out_all_the_same() -> None:
    query, gallery = manifest(["a"], paths=["x.jpg"]), manifest(["b", "a"], paths=["x.jpg", "y.jpg"])
    assert left_out(query, gallery, "diagonal").tolist() == [[True, False]]
    cameras = {"cameras": np.array(["1"], object)}, {"cameras": np.array(["1", "2"], object)}
    parts = [dataclasses.replace(part, **camera) for part, camera in zip((query, gallery), cameras, strict=True)]
    assert not left_out(*parts, "market1501").any()  # of another identity, it takes part
    result = evaluate_retrieval(np.zeros((1, 2)), np.eye(2), query, gallery, "diagonal", "euclidean")
    assert result.metrics["cmc@1"] == 1


@pytest.mark.parametrize(
    ("excluder", "names"),
    [
        (
            "market1501",
            ["q/0001_c1s1_001051_00.jpg", "g/0001_c1s2_00_01.jpg", "g/0001_c2s1_00_01.jpg", "-1_c2s1_0_0.jpg"],
        ),
        (
            "duke",
            ["q/0001_c1_f0046182.jpg", "g/0001_c1_f0000001.jpg", "g/0001_c2_f0046182.jpg", "0002_c2_f0046182.jpg"],
        ),
        (
            "mars",
            ["q/0001C1T0001F001.jpg", "g/0001C1T0002F001.jpg", "g/0001C2T0001F001.jpg", "00-1C2T0001F001.jpg"],
        ),
    ],
)
def test_cameras_from_file_names(excluder: str, names: list[str]) -> None:
    query, gallery = manifest(["0001"], paths=names[:1]), manifest(["0001", "0001", "-1"], paths=names[1:])
    assert left_out(query, gallery, excluder).tolist() == [[True, False, True]]
    with pytest.raises(UserError, match=r"no camera in the name of 'g0\.jpg'"):
        encode_labels(query, manifest(["0001"]), excluder)


def test_an_empty_camera_is_refused() -> None:
    query, gallery = manifest(["a"], [1], "q"), manifest(["a", "a"], [1, ""])
    with pytest.raises(UserError, match=r"g\.csv: 1 images have an empty camera"):
        evaluate_retrieval(np.zeros((1, 2)), np.eye(2), query, gallery, "market1501", "euclidean")


def test_skipped_queries_are_counted_with_the_reason() -> None:
    query = manifest(["a", "b", "c", "-1"], [1, 1, 1, 1], "q")
    gallery = manifest(["a", "a", "b", "-1", "0"], [1, 2, 1, 2, 2])  # a: other camera; b: only its own; c: absent
    result = evaluate_retrieval(np.zeros((4, 2)), np.eye(5, 2), query, gallery, "market1501", "euclidean")
    assert result.counts == {
        "queries": 4,
        "gallery": 5,
        "queries_used": 1,
        "queries_skipped_identity_absent": 2,
        "queries_skipped_only_same_camera": 1,
    }
    only = [1, 2]
    with pytest.raises(UserError, match=r"none of the 2 queries of q.csv .* for 1 the gallery .* for 1 only"):
        evaluate_retrieval(
            np.zeros((2, 2)), np.eye(5, 2), query.select(np.array(only)), gallery, "market1501", "euclidean"
        )


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
        ((query_emb, gallery_emb, query, gallery, "duke", "euclidean", 0), "memory_gb"),
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
