"""The single gallery shot against all draws one after the other, and against random draws."""

import itertools

import numpy as np
import pytest

from model.metrics import single_shot
from model.metrics.single_shot import poisson_binomial, single_gallery_shot

RANKS = (1, 2, 3, 5)


def all_draws(distances: np.ndarray, identities: np.ndarray, own: int, out: np.ndarray, ties: str) -> list[float]:
    """One query: the share of draws with the match at rank k or better, counted out."""
    groups = [
        [j for j in range(len(identities)) if identities[j] == name and not out[j]] for name in np.unique(identities)
    ]
    groups = [group for group in groups if group]
    if not any(identities[group[0]] == own for group in groups):
        return [np.nan] * len(RANKS)
    ranks = []
    for draw in itertools.product(*groups):
        match = next(distances[j] for j in draw if identities[j] == own)
        others = [distances[j] for j in draw if identities[j] != own]
        ranks.append(1 + sum(d <= match if ties == "pessimistic" else d < match for d in others))
    return [float(np.mean([rank <= k for rank in ranks])) for k in RANKS]


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize("ties", ["pessimistic", "optimistic"])
def test_equals_the_mean_over_all_draws(seed: int, ties: str) -> None:
    rng = np.random.default_rng(seed)
    identities = rng.permutation(np.repeat([3, 7, 8, 20, 21], rng.integers(1, 4, 5)))
    query_identities = rng.choice([3, 7, 8, 20, 21, 99], 9)  # 99 is not in the gallery
    distances = rng.integers(0, 6, (9, len(identities))).astype(np.float32)  # many ties
    for left_out in (rng.random(distances.shape) < 0.3, None):
        found = single_gallery_shot(distances, identities, query_identities, left_out, RANKS, ties)
        masks = np.zeros(distances.shape, bool) if left_out is None else left_out
        rows = zip(distances, query_identities, masks, strict=True)
        expected = [all_draws(row, identities, own, out, ties) for row, own, out in rows]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_one_image_each_is_the_plain_cmc() -> None:
    rng = np.random.default_rng(2)
    distances, identities = rng.random((30, 30)), rng.permutation(30)
    rank = (distances <= distances[np.arange(30), np.argsort(identities)][:, None]).sum(1)
    found = single_gallery_shot(distances, identities, np.arange(30), ranks=(1, 5, 40))
    np.testing.assert_allclose(found, rank[:, None] <= np.array([1, 5, 40]), rtol=0, atol=1e-12)


def test_by_hand() -> None:
    """One match at 2; of the other identity one image at 1, one at 3: first in half of the draws."""
    found = single_gallery_shot(np.array([[2.0, 1.0, 3.0]]), np.array([0, 1, 1]), np.array([0]), ranks=(1, 2))
    np.testing.assert_allclose(found, [[0.5, 1.0]])


def test_what_is_left_out_may_have_no_distance() -> None:
    distances = np.array([[2.0, np.nan, np.inf, 3.0]])
    left_out = np.array([[False, True, True, False]])
    found = single_gallery_shot(distances, np.array([0, 0, 1, 1]), np.array([0]), left_out, ranks=(1,))
    np.testing.assert_allclose(found, [[1.0]])


def test_the_size_of_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    distances, identities, own = rng.random((20, 50)), rng.integers(0, 9, 50), rng.integers(0, 9, 20)
    expected = single_gallery_shot(distances, identities, own)
    monkeypatch.setattr(single_shot, "BYTES", 16 * 50 * 3)
    np.testing.assert_allclose(single_gallery_shot(distances, identities, own), expected, rtol=0, atol=1e-15)


def test_nothing_to_rank() -> None:
    assert single_gallery_shot(np.zeros((0, 4)), np.arange(4), np.zeros(0, int)).shape == (0, 4)
    assert np.isnan(single_gallery_shot(np.zeros((2, 0)), np.zeros(0, int), np.arange(2))).all()
    assert np.isnan(single_gallery_shot(np.ones((1, 2)), np.arange(2), np.array([0]), np.ones((1, 2), bool))).all()


def test_sure_and_impossible_events() -> None:
    found = poisson_binomial(np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]), np.array([0, 1, 2, 9]))
    np.testing.assert_array_equal(found, [[0, 0, 1, 1], [1, 1, 1, 1]])
