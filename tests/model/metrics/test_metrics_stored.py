"""Embeddings that stay in a file: the same results as in memory, bit for bit, whatever the size of the parts."""

import dataclasses

import numpy as np
import pytest
from helpers.metric_names import METRICS, SQUARED
from helpers.retrieval_oracle import random_case
from helpers.stored_rows import ArrayRows

from model.metrics import pooling, rows
from model.metrics.pooling import POOLINGS, pool_sequences
from model.metrics.ranking.gallery_distances import EmbeddingDistances
from model.metrics.ranking.retrieval import evaluate_task, make_task
from model.metrics.ranking.stored_distances import StoredDistances
from model.metrics.rows import Selected, take
from model.metrics.search import approximate
from model.metrics.search.approximate import ApproximateIndex
from model.metrics.search.nearest import nearest
from model.metrics.search.query_expansion import expand_queries
from model.metrics.single_shot import single_shot_metrics

SIZES = [2e-5, 1]  # GB: several parts, and the whole gallery at once


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("excluder", ["market1501", "diagonal"])
@pytest.mark.parametrize("memory_gb", SIZES)
def test_ranking(metric: str, excluder: str, memory_gb: float) -> None:
    query_emb, gallery_emb, query, gallery = random_case(3, 30, 300)
    gallery_emb[5], gallery_emb[40:45] = 0, gallery_emb[9]  # no direction; equal distances
    task = make_task(query, gallery, excluder)
    whole = EmbeddingDistances(query_emb[task.queries], task.of_gallery(gallery_emb), metric)
    sides = take(ArrayRows(query_emb), task.queries), take(ArrayRows(gallery_emb), task.gallery)
    stored = StoredDistances(*sides, metric, memory_gb)
    for options in ({"ties": "pessimistic"}, {"ties": "stable", "fpr": 0.05}):
        expected, found = (evaluate_task(task, each, metric, batch_size=7, **options) for each in (whole, stored))
        assert found.metrics == expected.metrics
        for name, values in expected.per_query.items():
            np.testing.assert_array_equal(found.per_query[name], values)
    shots = [single_shot_metrics(task, each, "pessimistic", memory_gb) for each in (whole, stored)]
    assert shots[0] == shots[1]


def test_a_pass_over_the_gallery_serves_many_queries() -> None:
    query_emb, gallery_emb, query, gallery = random_case(0, 60, 400)
    task, stored = make_task(query, gallery, "diagonal"), ArrayRows(gallery_emb)
    distances = StoredDistances(query_emb[task.queries], stored, "euclidean", 5e-5)
    assert distances._step < 400
    stored.rows_read = 0
    evaluate_task(task, distances, "euclidean", batch_size=1)
    assert stored.rows_read < 0.4 * 60 * 400  # one pass for each query would read 60 * 400


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("memory_gb", SIZES)
def test_nearest_and_expansion(metric: str, memory_gb: float) -> None:
    query, gallery, *_ = random_case(4, 30, 200)
    gallery[50:60] = gallery[0]
    exclude = np.where(np.arange(30) % 2, np.arange(30) * 6, -1)
    expected = nearest(query, gallery, 7, metric, exclude=exclude, farthest=True)
    found = nearest(query, ArrayRows(gallery), 7, metric, exclude=exclude, farthest=True, memory_gb=memory_gb)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    options = {"alpha": 2.0, "metric": metric, "exclude": exclude}
    expanded = expand_queries(query, ArrayRows(gallery), 5, memory_gb=memory_gb, **options)
    np.testing.assert_array_equal(expanded, expand_queries(query, gallery, 5, **options))


def test_nearest_of_a_part_smaller_than_k() -> None:
    query, gallery, *_ = random_case(5, 4, 30)
    expected = nearest(query, gallery, 40, "euclidean")
    for ours, theirs in zip(nearest(query, ArrayRows(gallery), 40, "euclidean", memory_gb=1e-6), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("metric", SQUARED)
@pytest.mark.parametrize("small", [1000, 10000])
def test_index(metric: str, small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    monkeypatch.setattr(approximate, "SMALL", small)
    query, gallery, *_ = random_case(6, 50, 3000)
    whole, one, parts = (
        ApproximateIndex(each, metric, memory_gb=memory_gb)
        for each, memory_gb in ((gallery, 1), (ArrayRows(gallery), 1), (ArrayRows(gallery), 1e-4))
    )
    assert len(parts._parts) > 4
    expected = whole.search(query, 10)
    for index in (one, parts) if small > 3000 else (one,):  # parts: exact search, but other cells
        for ours, theirs in zip(index.search(query, 10), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert parts.cells <= whole.cells
    exact = nearest(query, gallery, 10, metric).indices
    recall = np.mean([np.isin(*pair).mean() for pair in zip(parts.search(query, 10)[0], exact, strict=True)])
    assert recall > 0.85
    assert parts.recall_against_exact(query, 10) == pytest.approx(recall)


@pytest.mark.parametrize("how", POOLINGS)
@pytest.mark.parametrize("at_once", [1, 60, 10**6])
def test_pooling(how: str, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooling, "AT_ONCE", at_once)
    _, emb, _, images = random_case(7, 1, 90)
    sequences = np.array([f"s{number % 17}" if number % 5 else "" for number in range(90)], object)
    images = dataclasses.replace(images, sequences=sequences)
    expected, manifest = pool_sequences(emb, images, how)
    found, same = pool_sequences(ArrayRows(emb), images, how)
    assert same.paths.tolist() == manifest.paths.tolist()
    assert found.shape == expected.shape
    for part in (slice(None), slice(3, 9), np.array([5, 2, 2, 0])):
        np.testing.assert_array_equal(found[part], expected[part])


@pytest.mark.parametrize("at_once", [1, 40, 10**6])
@pytest.mark.parametrize("near", [0, 30])
def test_rows_are_those_of_an_array(at_once: int, near: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "AT_ONCE", at_once)
    monkeypatch.setattr(rows, "NEAR", near)
    array = np.arange(500, dtype=np.float32).reshape(100, 5)
    numbers = np.random.default_rng(0).integers(0, 100, 60)
    for part in (slice(None), slice(20, 31), slice(90, 200), numbers, np.sort(numbers), np.array([], np.int64)):
        np.testing.assert_array_equal(ArrayRows(array)[part], array[part])
        if isinstance(part, np.ndarray) and len(part):
            chosen = Selected(ArrayRows(array), part)
            np.testing.assert_array_equal(chosen[np.array([3, 0, 3])], array[part][[3, 0, 3]])


def test_rows_near_each_other_are_read_together_and_others_are_not_read() -> None:
    stored = ArrayRows(np.zeros((100_000, 128), np.float32))
    stored[np.array([10, 12, 90_000])]
    assert stored.rows_read == 4
