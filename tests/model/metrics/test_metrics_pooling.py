import dataclasses
from collections.abc import Callable
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
@pytest.mark.parametrize(
    ("pool", "groups"), [(pool_sequences, GROUPS), (pool_queries, [[0, 1, 4], [2, 7], [3], [5, 6]])]
)
def test_pooling(how: str, pool: Callable, groups: list[list[int]]) -> None:
    """By identity, camera and sequence, in the order in which they begin; images without a sequence are their own.

    Queries of several images are by identity and camera alone.
    """
    emb = np.random.default_rng(0).standard_normal((len(ROWS), 5)).astype(np.float32)
    pooled, labels = pool(emb, manifest(ROWS), how)
    np.testing.assert_allclose(pooled, [ORACLES[how](emb[group].astype(float)) for group in groups], rtol=1e-6)
    firsts = [group[0] for group in groups]
    assert list(zip(labels.identities, labels.cameras, strict=True)) == [ROWS[first][:2] for first in firsts]
    assert labels.paths.tolist() == [f"{first}.jpg" for first in firsts]


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
