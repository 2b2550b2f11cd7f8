"""The single gallery shot, compared with all draws one by one."""

import itertools

import numpy as np
import pytest

from model.metrics import single_shot
from model.metrics.single_shot import single_gallery_shot

RANKS = (1, 2, 3, 5, 40)


def all_draws(distances: np.ndarray, identities: np.ndarray, own: int, out: np.ndarray, ties: str) -> list[float]:
    """For one query, the share of draws with the match at rank k or better, by counting."""
    groups = [np.flatnonzero((identities == name) & ~out) for name in np.unique(identities[~out])]
    if own not in identities[~out]:
        return [np.nan] * len(RANKS)
    ranks = []
    for draw in itertools.product(*groups):
        match = next(distances[j] for j in draw if identities[j] == own)
        others = [distances[j] for j in draw if identities[j] != own]
        ranks.append(1 + sum(d <= match if ties == "pessimistic" else d < match for d in others))
    return [float(np.mean([rank <= k for rank in ranks])) for k in RANKS]


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize("ties", ["pessimistic", "optimistic"])
@pytest.mark.parametrize("share", [0, 0.3, 1])
def test_equals_the_mean_over_all_draws(seed: int, ties: str, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Excluded images may have no distance; the number of matches in a block has no effect."""
    rng = np.random.default_rng(seed)
    identities = rng.permutation(np.repeat([3, 7, 8, 20, 21], rng.integers(1, 4, 5)))
    query_identities = rng.choice([3, 7, 8, 20, 21, 99], 9)  # 99 is not in the gallery
    distances = rng.integers(0, 6, (9, len(identities))).astype(np.float32)  # many ties
    left_out = rng.random(distances.shape) < share
    distances[left_out] = rng.choice([np.nan, np.inf, 0], left_out.sum())
    rows = zip(distances, query_identities, left_out, strict=True)
    expected = [all_draws(row, identities, own, out, ties) for row, own, out in rows]
    monkeypatch.setattr(single_shot, "BLOCK_MATCHES", 1 + seed)
    found = single_gallery_shot(distances, identities, query_identities, left_out if share else None, RANKS, ties)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_nothing_to_rank() -> None:
    assert single_gallery_shot(np.zeros((0, 4)), np.arange(4), np.zeros(0, int)).shape == (0, 4)
    assert np.isnan(single_gallery_shot(np.zeros((2, 0)), np.zeros(0, int), np.arange(2))).all()
