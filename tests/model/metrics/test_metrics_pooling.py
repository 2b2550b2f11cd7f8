import dataclasses
from pathlib import Path

import numpy as np
import pytest

from dataset.formats.manifest import Manifest
from model.evaluation import request as embedding_arguments
from model.metrics.pooling import POOLINGS, pool_queries, pool_sequences
from model.metrics.ranking.retrieval import FPR
from runtime.errors import UserError


def manifest(rows: list[tuple[str, str, str]]) -> Manifest:
    identities, cameras, sequences = (np.array(column, object) for column in zip(*rows, strict=True))
    paths = np.array([f"{i}.jpg" for i in range(len(rows))], object)
    return Manifest(identities, paths, Path(), Path("list.csv"), cameras, sequences)


ROWS = [("a", "1", "t1"), ("a", "1", "t1"), ("b", "1", "t2"), ("a", "2", "t1"), ("a", "1", "t1"), ("c", "1", "")]
ROWS += [("c", "1", ""), ("b", "1", "t2")]
GROUPS = [[0, 1, 4], [2, 7], [3], [5], [6]]
ORACLES = {
    "mean": lambda rows: rows.mean(0),
    "max": lambda rows: rows.max(0),
    "normalized_mean": lambda rows: (rows / np.linalg.norm(rows, axis=1, keepdims=True)).mean(0),
}


@pytest.mark.parametrize("how", list(POOLINGS))
def test_sequences(how: str) -> None:
    """By identity, camera and sequence, in the order in which they begin; images without a sequence are their own."""
    emb = np.random.default_rng(0).standard_normal((len(ROWS), 5)).astype(np.float32)
    pooled, labels = pool_sequences(emb, manifest(ROWS), how)
    np.testing.assert_allclose(pooled, [ORACLES[how](emb[group].astype(float)) for group in GROUPS], rtol=1e-6)
    assert labels.identities.tolist() == ["a", "b", "a", "c", "c"]
    assert labels.cameras.tolist() == ["1", "1", "2", "1", "1"]
    assert labels.paths.tolist() == ["0.jpg", "2.jpg", "3.jpg", "5.jpg", "6.jpg"]


@pytest.mark.parametrize("how", list(POOLINGS))
def test_queries_of_several_images(how: str) -> None:
    emb = np.random.default_rng(0).standard_normal((len(ROWS), 5)).astype(np.float32)
    pooled, labels = pool_queries(emb, manifest(ROWS), how)
    groups = [[0, 1, 4], [2, 7], [3], [5, 6]]
    np.testing.assert_allclose(pooled, [ORACLES[how](emb[group].astype(float)) for group in groups], rtol=1e-6)
    assert labels.identities.tolist() == ["a", "b", "a", "c"]


def test_the_command_line_knows_the_choices() -> None:
    """It has a number of its own, since it imports nothing heavy."""
    assert embedding_arguments.Request.fpr == FPR


def test_a_zero_embedding_stays_finite() -> None:
    pooled, _ = pool_sequences(np.zeros((len(ROWS), 3), np.float32), manifest(ROWS), "normalized_mean")
    assert not pooled.any()


def test_what_is_missing_is_named() -> None:
    labels = manifest([("a", "1", ""), ("b", "1", "")])
    with pytest.raises(UserError, match=r"list\.csv: no image has a sequence"):
        pool_sequences(np.zeros((2, 3)), labels, "mean")
    with pytest.raises(UserError, match=r"list\.csv: .* column camera"):
        pool_queries(np.zeros((2, 3)), dataclasses.replace(labels, cameras=None), "mean")
