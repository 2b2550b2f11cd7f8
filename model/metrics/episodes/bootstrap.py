"""95% intervals of accuracies: the percentile bootstrap (Efron & Tibshirani, An Introduction to the Bootstrap, ch. 13).

Each of a thousand resamples draws E of the E episodes with replacement; the interval holds the middle 95% of their
accuracies. Episodes of one video are similar, so this interval is too narrow for new videos. If the videos are known,
whole videos are drawn as well (a cluster bootstrap: Davison & Hinkley, Bootstrap Methods, section 3.8).
"""

import numpy as np

from model.metrics.episodes.accuracies import ACCURACIES

RESAMPLES = 1000
LEVEL = 0.95
BLOCK_ELEMENTS = 1 << 18  # of the array of draws: 2 MB
DIGITS = 6  # of accuracies in results.jsonl: enough for any number of episodes


def accuracy_intervals(
    solved: np.ndarray, share: np.ndarray, clusters: np.ndarray | None = None
) -> dict[str, list[float]]:
    """The intervals [low, high] of both accuracies; they do not depend on the order of the outcomes.

    Args:
        solved, share: (E,) outcomes of episodes, see `episode_accuracies`.
        clusters: (E,) integers from 0: episodes with the same number are drawn together. None: each is drawn alone.
    """
    outcomes = np.stack([solved, share, np.ones(len(solved))], axis=1)  # (E, 3); the last column counts episodes
    if clusters is not None:
        outcomes = np.stack([np.bincount(clusters, column) for column in outcomes.T], axis=1)  # (C, 3)
    intervals = percentile_intervals(outcomes[:, :2], outcomes[:, 2])
    return {name: [round(float(end), DIGITS) for end in ends] for name, ends in zip(ACCURACIES, intervals, strict=True)}


def percentile_intervals(sums: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Intervals of the means `sums.sum(0) / sizes.sum()` when units are drawn with replacement.

    Only few outcomes are possible, and most units are equal. Instead of single units, the function draws how often each
    distinct unit appears, from a multinomial distribution. The result has the same distribution, and needs a small
    fraction of the time and memory.

    Args:
        sums: (U, F) the contribution of each unit.
        sizes: (U,) the number of episodes in each unit.

    Returns:
        (F, 2) the lower and upper ends.
    """
    units = np.column_stack([sums, sizes]).round(12)  # the last bits depend on the order of summation
    different, counts = np.unique(units, axis=0, return_counts=True)  # (V, F + 1), (V,)
    random = np.random.default_rng(0)
    totals = np.empty((RESAMPLES, units.shape[1]))
    step = max(1, BLOCK_ELEMENTS // len(different))
    for start in range(0, RESAMPLES, step):
        rows = totals[start : start + step]
        rows[:] = random.multinomial(len(units), counts / len(units), size=len(rows)) @ different
    tail = (1 - LEVEL) / 2
    return np.quantile(totals[:, :-1] / totals[:, -1:], [tail, 1 - tail], axis=0).T
