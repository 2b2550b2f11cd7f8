"""Accuracies on episodes: how often the candidate with the anchor's identity is the nearest."""

from dataclasses import dataclass

import numpy as np

from dataset.formats.episodes import Episodes
from model.distances import find_distance, is_squared
from model.metrics.vectors import distances_of_pairs

ACCURACIES = ("general_accuracy", "easy_accuracy")


@dataclass(frozen=True)
class EpisodeResult:
    """Accuracies in [0, 1], their definitions, counts, and the outcomes of the E episodes.

    Attributes:
        metrics: the accuracies by name.
        definitions: what each name means.
        counts: numbers of episodes, candidates and images.
        solved: (E,) bool: whether the positive is nearer than every negative.
        share: (E,) the share of negatives that are farther than the positive.
    """

    metrics: dict[str, float]
    definitions: dict[str, str]
    counts: dict[str, int]
    solved: np.ndarray
    share: np.ndarray


def pair_distances(embeddings: np.ndarray, first: np.ndarray, second: np.ndarray, metric: str) -> np.ndarray:
    """Distances of P pairs of rows, (P,) float64, from differences: equal rows have exactly equal distances.

    For functions of the squared Euclidean distance, the result is squared: the order is the same, and a square root
    could make ties. For embeddings of length 1 the result is half of that, 1 - cos, and 1 for a zero vector.

    Args:
        embeddings: (U, D).
        first, second: (P,) indices of rows.
        metric: a module of `model.distances`.
    """
    distance = find_distance(metric)

    def of(a: np.ndarray, b: np.ndarray) -> np.ndarray:  # (p, D) each
        if not is_squared(metric):
            return distance.of_differences(a - b, np).sum(1)
        if distance.UNIT_LENGTH:
            norms = np.sqrt((a * a).sum(1) * (b * b).sum(1))
            return 1 - (a * b).sum(1) / np.where(norms == 0, 1, norms)
        return np.square(a - b).sum(1)

    return distances_of_pairs(embeddings, embeddings, first, second, of)


def episode_accuracies(embeddings: np.ndarray, episodes: Episodes, metric: str) -> EpisodeResult:
    """General and easy accuracy, with strict inequalities: a network that maps all images to one point scores 0.

    An episode with anchor a, positive p and negatives n_1 .. n_m is solved if d(a, p) < d(a, n_i) for every i.
    `general_accuracy` is the share of solved episodes. `easy_accuracy` is the share of negatives with
    d(a, n_i) > d(a, p), averaged over episodes. A pair with a NaN or infinite embedding counts as wrong.

    Args:
        embeddings: (U, D), one row for each of `episodes.paths`.
        episodes: E episodes.
        metric: a module of `model.distances`.

    Returns:
        The accuracies and the outcomes. The counts are `episodes`, `candidates` (positives and negatives), `images`,
        and `episodes_with_non_finite` (episodes with a NaN or infinite embedding).

    Raises:
        UserError: for an unknown metric.
        ValueError: for embeddings of another shape.
    """
    find_distance(metric)
    embeddings = np.asarray(embeddings)
    if embeddings.ndim != 2 or len(embeddings) != len(episodes.paths):
        raise ValueError(f"embeddings of shape {embeddings.shape} for {len(episodes.paths)} images; (U, D) expected")

    # The negatives of all episodes are one flat array, which `reduceat` divides: no padding, no mask.
    starts, lengths = episodes.offsets[:-1], np.diff(episodes.offsets)  # (E,)
    anchors = np.repeat(episodes.anchors, lengths)  # (M,)
    finite = np.isfinite(embeddings).all(1)  # (U,)
    negatives_finite = finite[anchors] & finite[episodes.negatives]  # (M,)
    positives_finite = finite[episodes.anchors] & finite[episodes.positives]  # (E,)
    with np.errstate(invalid="ignore", over="ignore"):
        to_positive = pair_distances(embeddings, episodes.anchors, episodes.positives, metric)  # (E,)
        to_negative = pair_distances(embeddings, anchors, episodes.negatives, metric)  # (M,)
        farther = to_negative > np.repeat(to_positive, lengths)  # (M,)
    farther &= negatives_finite & np.repeat(
        positives_finite, lengths
    )  # otherwise infinity would count as a far negative
    solved = np.logical_and.reduceat(farther, starts)  # (E,)
    share = np.add.reduceat(farther, starts, dtype=np.int64) / lengths  # (E,)
    whole = positives_finite & np.logical_and.reduceat(negatives_finite, starts)  # (E,)
    return EpisodeResult(
        metrics={"general_accuracy": float(solved.mean()), "easy_accuracy": float(share.mean())},
        definitions={
            "general_accuracy": "share of episodes with d(anchor, positive) < d(anchor, n) for every negative n",
            "easy_accuracy": "share of negatives n with d(anchor, n) > d(anchor, positive), averaged over episodes",
            "metric": metric,
            "ties": "count as wrong",
        },
        counts={
            "episodes": len(episodes),
            "candidates": len(episodes) + len(episodes.negatives),
            "images": len(episodes.paths),
            "episodes_with_non_finite": int((~whole).sum()),
        },
        solved=solved,
        share=share,
    )
