"""Re-ranking, compared with the published formulation on whole matrices."""

import numpy as np
import pytest

from model.metrics import vectors
from model.metrics.search import nearest as nearest_module
from model.metrics.search import rerank
from model.metrics.search.rerank import Reranker
from runtime.errors import UserError


def published(query: np.ndarray, gallery: np.ndarray, k1: int, k2: int, weight: float, same: bool) -> np.ndarray:
    """Zhong et al.'s formulation, image by image: the whole matrix, sorted rows, sets, dense encodings."""
    union = (query if same else np.concatenate([query, gallery])).astype(np.float64)
    squared = ((union[:, None] - union[None]) ** 2).sum(2)  # (N, N)
    largest = squared.max(axis=0)
    original = (squared / np.where(largest == 0, 1, largest)).T  # column j divided by its maximum, then transposed
    rank = np.argsort(original, axis=1, kind="stable")
    number, half = len(union), int(np.around(k1 / 2))

    def reciprocal(i: int, k: int) -> set[int]:
        return {j for j in rank[i, : k + 1].tolist() if i in rank[j, : k + 1]}

    codes = np.zeros((number, number))
    for i in range(number):
        core = reciprocal(i, k1)
        members = set(core)
        for j in core:
            candidate = reciprocal(j, half)
            if len(candidate & core) > 2 / 3 * len(candidate):
                members |= candidate
        for j in members:
            codes[i, j] = np.exp(-original[i, j])
        if members:
            codes[i] /= codes[i].sum()
    if k2 != 1:
        codes = np.stack([codes[rank[i, :k2]].mean(0) for i in range(number)])
    shared = np.minimum(codes[:, None], codes[None]).sum(2)
    final = (1 - weight) * (1 - shared / (2 - shared)) + weight * original
    return final[: len(query), 0 if same else len(query) :]


def embeddings(seed: int, number: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(7, 6))
    return (centres[rng.integers(0, 7, number)] + rng.normal(scale=0.5, size=(number, 6))).astype(np.float32)


def reranked(query: np.ndarray, gallery: np.ndarray, step: int = 7, **settings: object) -> np.ndarray:
    reranker = Reranker(query, gallery, **settings)
    return np.concatenate([reranker.distances(slice(i, i + step)) for i in range(0, len(query), step)])


def case(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Queries and gallery."""
    rng = np.random.default_rng(seed)
    if kind == "grid":  # many ties
        return rng.integers(0, 3, (12, 3)).astype(np.float32), rng.integers(0, 3, (60, 3)).astype(np.float32)
    if kind.startswith("copies"):  # also more equal images than neighbours: an image may not be its own neighbour
        copies = int(kind.split()[1])
        union = np.repeat(embeddings(seed, 12), copies, axis=0)[rng.permutation(12 * copies)]
        return union[:10], union[10:]
    if kind == "collapsed":
        return np.full((5, 3), 0.1, np.float32), np.full((30, 3), 0.1, np.float32)
    sizes = [int(size) for size in kind.split("x")] if "x" in kind else (15 + seed, 50 + 3 * seed)
    return embeddings(seed, sizes[0]), embeddings(100 + seed, sizes[1])


SETTINGS = [(20, 6, 0.3), (20, 1, 0.3), (5, 3, 0.0), (7, 2, 0.5), (1, 1, 0.1), (2, 6, 0.3), (6, 9, 1.0), (3, 4, 0.2)]
CASES = [("clusters", *setting, 12) for setting in SETTINGS]
CASES += [(f"copies {copies}", k1, 3, 0.3, 6) for copies, k1 in ((2, 6), (4, 6), (9, 3), (3, 20))]
CASES += [("grid", 8, 4, 0.3, 4), ("collapsed", 4, 2, 0.3, 1)]
CASES += [(sizes, 20, 12, 0.3, 1) for sizes in ("3x4", "1x1", "1x5", "4x1")]  # fewer images than neighbours


@pytest.mark.parametrize("variant", ["euclidean", "cosine", "all against all"])
@pytest.mark.parametrize(("kind", "k1", "k2", "weight", "seeds"), CASES)
def test_equals_the_published_formulation(kind: str, k1: int, k2: int, weight: float, seeds: int, variant: str) -> None:
    for seed in range(seeds):
        query, gallery = given = case(kind, seed)
        settings = {"k1": k1, "k2": k2, "weight": weight}
        if variant == "cosine":
            if kind == "grid":
                continue  # at length 1, rounding makes and breaks ties
            query, gallery = (x / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True) for x in given)
            settings["metric"] = "cosine"
        elif variant == "all against all":
            query, settings["same"] = gallery, True
            given = query, gallery
        expected = published(query, gallery, k1, k2, weight, same=variant == "all against all")
        found = reranked(*given, **settings)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("memory_gb", [1e-9, 1e-5, 1.0])
def test_the_size_of_blocks_changes_nothing(memory_gb: float, monkeypatch: pytest.MonkeyPatch) -> None:
    query, gallery = embeddings(3, 30), embeddings(4, 90)
    expected = reranked(query, gallery, step=30)
    monkeypatch.setattr(rerank, "MAX_TERMS", 40)
    monkeypatch.setattr(nearest_module, "MAX_PAIRS", 200)
    monkeypatch.setattr(vectors, "BLOCK", 50)
    np.testing.assert_allclose(reranked(query, gallery, step=4, memory_gb=memory_gb), expected, rtol=0, atol=1e-7)


def test_equal_gallery_images_keep_equal_distances() -> None:
    query, base = embeddings(5, 8), embeddings(6, 40)
    found = reranked(query, np.concatenate([base, base]), k1=10, k2=3)
    np.testing.assert_array_equal(found[:, :40], found[:, 40:])


def test_scale_and_shift_change_nothing() -> None:
    query, gallery = embeddings(7, 10).astype(np.float64), embeddings(8, 40).astype(np.float64)
    expected = reranked(query, gallery, k1=6, k2=3)
    for given in ((query * 1e30, gallery * 1e30), (query + 1e5, gallery + 1e5)):
        np.testing.assert_allclose(reranked(*given, k1=6, k2=3), expected, rtol=0, atol=1e-6)


def test_any_slice_and_float16() -> None:
    query, gallery = embeddings(9, 20), embeddings(10, 50)
    reranker = Reranker(query, gallery)
    whole = reranker.distances(slice(None))
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(reranker.distances(slice(3, 9)), whole[3:9])
    assert reranker.distances(slice(20, 30)).shape == (0, 50)
    half = reranked(query.astype(np.float16), gallery.astype(np.float16))
    np.testing.assert_allclose(half, reranked(*(x.astype(np.float16).astype(float) for x in (query, gallery))))


def test_wrong_embeddings_are_refused() -> None:
    good, bad = embeddings(0, 4), embeddings(1, 9)
    bad[2] = np.nan
    with pytest.raises(UserError, match="1 of 9 gallery embeddings are NaN or infinite"):
        Reranker(good, bad)
    with pytest.raises(UserError, match="6 and 5 dimensions"):
        Reranker(good, embeddings(1, 9)[:, :5])
    with pytest.raises(UserError, match="shape"):
        Reranker(good, good[:0])
