"""Labels: the images that each excluder excludes, and pooling by sequence or camera."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from helpers.retrieval_oracle import manifest

from dataset.formats.manifest import Manifest
from model.metrics.excluders import default_excluder
from model.metrics.pooling import POOLINGS, pool_queries, pool_sequences
from model.metrics.ranking.retrieval import evaluate_retrieval
from runtime.errors import UserError


def test_a_file_with_two_identities_is_excluded_by_diagonal() -> None:
    query, gallery = manifest(["a"], [1], paths=["x.jpg"]), manifest(["b", "a"], [1, 2], paths=["x.jpg", "y.jpg"])
    for excluder, first in (("diagonal", 1), ("market1501", 0)):  # market1501 ranks it under its other identity
        result = evaluate_retrieval(np.zeros((1, 2)), np.eye(2), query, gallery, excluder, "euclidean")
        assert result.metrics["cmc@1"] == first


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
    query = query.select(np.array([1, 2]))
    with pytest.raises(UserError, match=r"none of the 2 queries in q.csv .* for 1, the gallery .* for 1, excluder"):
        evaluate_retrieval(np.zeros((2, 2)), np.eye(5, 2), query, gallery, "market1501", "euclidean")


def test_the_default_excluder() -> None:
    known, other = manifest(["a", "b"], cameras=["1", "2"]), manifest(["a"], cameras=["3"])
    assert default_excluder(known, other) == "market1501"
    assert default_excluder(known, known) == "diagonal"  # all against all
    for unknown in (manifest(["a"]), manifest(["a", "b"], cameras=["1", ""])):
        assert default_excluder(known, unknown) == default_excluder(unknown, known) == "diagonal"


ROWS = [("a", "1", "t1"), ("a", "1", "t1"), ("b", "1", "t2"), ("a", "2", "t1"), ("a", "1", "t1"), ("c", "1", "")]
ROWS += [("c", "1", ""), ("b", "1", "t2")]
GROUPS = [[0, 1, 4], [2, 7], [3], [5], [6]]
ORACLES = {
    "mean": lambda rows: rows.mean(0),
    "max": lambda rows: rows.max(0),
    "normalized_mean": lambda rows: (rows / np.linalg.norm(rows, axis=1, keepdims=True)).mean(0),
}


def of_sequences(*rows: tuple[str, str, str]) -> Manifest:
    """Identity, camera and sequence of each image."""
    identities, cameras, sequences = (list(column) for column in zip(*rows, strict=True))
    return dataclasses.replace(manifest(identities, cameras), sequences=np.array(sequences, object))


@pytest.mark.parametrize("how", list(POOLINGS))
@pytest.mark.parametrize(
    ("pool", "groups"), [(pool_sequences, GROUPS), (pool_queries, [[0, 1, 4], [2, 7], [3], [5, 6]])]
)
def test_pooling(how: str, pool: Callable, groups: list[list[int]]) -> None:
    """By identity, camera and sequence, in the order of their first images; images without a sequence stay single.

    Queries of several images are by identity and camera alone.
    """
    emb = np.random.default_rng(0).standard_normal((len(ROWS), 5)).astype(np.float32)
    pooled, labels = pool(emb, of_sequences(*ROWS), how)
    np.testing.assert_allclose(pooled, [ORACLES[how](emb[group].astype(float)) for group in groups], rtol=1e-6)
    firsts = [group[0] for group in groups]
    assert list(zip(labels.identities, labels.cameras, strict=True)) == [ROWS[first][:2] for first in firsts]
    assert labels.paths.tolist() == [f"g{first}.jpg" for first in firsts]


def test_a_zero_embedding_stays_finite() -> None:
    pooled, _ = pool_sequences(np.zeros((len(ROWS), 3), np.float32), of_sequences(*ROWS), "normalized_mean")
    assert not pooled.any()


def test_the_error_names_the_missing_column() -> None:
    labels = of_sequences(("a", "1", ""), ("b", "1", ""))
    with pytest.raises(UserError, match=r"g\.csv: no image has a sequence"):
        pool_sequences(np.zeros((2, 3)), labels, "mean")
    with pytest.raises(UserError, match=r"g\.csv: .* column camera"):
        pool_queries(np.zeros((2, 3)), dataclasses.replace(labels, cameras=None), "mean")
