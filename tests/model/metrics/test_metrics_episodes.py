"""Episode accuracies, compared with plain loops and cases computed by hand."""

import numpy as np
import pytest
from helpers.episode_sets import make, random_episodes
from helpers.metric_names import METRICS
from scipy.spatial import distance

from dataset.formats.episodes import Episodes
from model.metrics import vectors
from model.metrics.episodes.accuracies import episode_accuracies
from runtime.errors import UserError


def accuracies(embeddings: np.ndarray, episodes: Episodes, metric: str = "euclidean") -> tuple[float, float]:
    result = episode_accuracies(embeddings, episodes, metric)
    assert set(result.metrics) == {"general_accuracy", "easy_accuracy"}
    return result.metrics["general_accuracy"], result.metrics["easy_accuracy"]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("block", [1, 50, 1 << 20])
def test_against_a_plain_loop(metric: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "BLOCK", block)
    rng = np.random.default_rng(0)
    episodes, embeddings = random_episodes(rng, 200, 60), rng.standard_normal((60, 7)).astype(np.float32)
    solved, shares, between = [], [], getattr(distance, metric)
    for i in range(200):
        negatives = episodes.negatives[episodes.offsets[i] : episodes.offsets[i + 1]]
        anchor, positive, *others = embeddings[[episodes.anchors[i], episodes.positives[i], *negatives]].astype(float)
        farther = [between(anchor, other) > between(anchor, positive) for other in others]
        solved.append(all(farther))
        shares.append(sum(farther) / len(farther))
    result = episode_accuracies(embeddings, episodes, metric)
    assert result.solved.tolist() == solved
    assert result.share == pytest.approx(shares)
    assert result.metrics == {"general_accuracy": result.solved.mean(), "easy_accuracy": result.share.mean()}


def test_by_hand() -> None:
    """On a line: anchor 0, positive at 2, negatives at 1 (nearer), 2 and -2 (ties), 3 (farther)."""
    line = np.array([[0.0], [2], [1], [2], [-2], [3]])
    cases = [([5], 1, 1), ([2], 0, 0), ([3], 0, 0), ([4], 0, 0), ([5, 2], 0, 1 / 2), ([5, 5, 3, 2], 0, 1 / 2)]
    for negatives, general, easy in cases:
        assert accuracies(line, make([(0, 1, negatives)], 6)) == (general, easy)
    # Shares are averaged over episodes, not over negatives: (1 + 1/4) / 2.
    assert accuracies(line, make([(0, 1, [5]), (0, 1, [2, 3, 4, 5])], 6)) == (0.5, 0.625)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("row", [[0.0] * 13, np.random.default_rng(1).standard_normal(13)])
def test_collapsed_network_scores_zero(metric: str, row: np.ndarray) -> None:
    """All images are at one point, and rounding must not separate them."""
    embeddings = np.tile(np.asarray(row, np.float32), (40, 1))
    assert accuracies(embeddings, random_episodes(np.random.default_rng(2), 500, 40), metric) == (0, 0)


@pytest.mark.parametrize("metric", METRICS)
def test_equal_rows_tie_exactly(metric: str) -> None:
    """The negative is a copy of the positive, for dimensions 1 .. 40."""
    for size in range(1, 41):
        rows = np.random.default_rng(size).standard_normal((2, size)).astype(np.float32)
        assert accuracies(rows[[0, *[1] * 31]], make([(0, 1, list(range(2, 32)))], 32), metric) == (0, 0)


def test_small_differences_count_and_rounding_does_not() -> None:
    """A difference of 1e-4 at distance 1 counts, and 1e-3 at 1e4; equal differences to both sides tie exactly.

    |a|^2 - 2 ab + |b|^2 in float32 would be noise.
    """
    assert accuracies(np.array([[0.0, 0], [1, 0], [1, 1e-4]], np.float32), make([(0, 1, [2])], 3)) == (1, 1)
    near = np.full((4, 8), 1e4, np.float32)
    near[1:, 0] += np.array([2, 4, -4], np.float32) * 2**-10  # float32 has steps of 2^-10 at 1e4
    assert accuracies(near, make([(0, 1, [2, 3])], 4)) == (1, 1)
    rng = np.random.default_rng(3)
    scales = 2.0 ** -np.arange(0, 40, 8)
    anchors = rng.uniform(1.1, 1.9, (100, 5)).astype(np.float32) * scales
    steps = rng.integers(-9, 9, (100, 5)) * 2.0**-23 * scales  # some units of float32: all of this is exact
    embeddings = np.concatenate([anchors, anchors + steps, anchors - steps]).astype(np.float32)
    episodes = make([(i, 100 + i, [200 + i]) for i in range(100)], 300)
    for metric in ("euclidean", "sqeuclidean", "cityblock"):
        assert accuracies(embeddings, episodes, metric) == (0, 0)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_embeddings_solve_nothing(metric: str, bad: float) -> None:
    good = np.array([[1.0, 0], [1, 0.1], [0, 1], [-1, 0]])
    for image, easy in ((0, 0), (1, 0), (2, 0.5), (3, 0.5)):  # anchor, positive, either negative
        embeddings = good.copy()
        embeddings[image, 0] = bad
        result = episode_accuracies(embeddings, make([(0, 1, [2, 3])], 4), metric)
        assert result.metrics == {"general_accuracy": 0, "easy_accuracy": easy}
        assert result.counts["episodes_with_non_finite"] == 1


def test_counts_and_definitions() -> None:
    zero_vector = np.array([[0.0, 0], [1, 0], [0, 1]])  # orthogonal to all
    assert accuracies(zero_vector, make([(1, 0, [2])], 3), "cosine") == (0, 0)  # 1 and 1: a tie
    result = episode_accuracies(np.eye(5), make([(0, 1, [2, 3]), (1, 0, [4])], 5), "cosine")
    assert result.counts == {"episodes": 2, "candidates": 5, "images": 5, "episodes_with_non_finite": 0}
    assert result.definitions["metric"] == "cosine"
    assert set(result.metrics) <= set(result.definitions)


def test_wrong_arguments() -> None:
    episodes = make([(0, 1, [2])], 3)
    with pytest.raises(UserError, match="euclidean, sqeuclidean, cityblock, cosine"):
        episode_accuracies(np.eye(3), episodes, "manhattan")
    for shape in ((2, 4), (3,), (3, 1, 1)):
        with pytest.raises(ValueError, match="3 images"):
            episode_accuracies(np.zeros(shape), episodes, "euclidean")
