"""95% intervals of accuracies: the percentile bootstrap (Efron & Tibshirani, An Introduction to the Bootstrap, ch. 13).

Episodes are drawn with replacement, as many as there are, a thousand times; the interval holds the middle 95% of the
accuracies. Episodes of one video are alike, which makes that too narrow a guess for new videos; where the videos are
known, whole ones are drawn as well (a cluster bootstrap: Davison & Hinkley, Bootstrap Methods, section 3.8).
"""

import numpy as np

from model.metrics.episodes.accuracies import ACCURACIES

RESAMPLES = 1000
LEVEL = 0.95
BLOCK_ELEMENTS = 1 << 18  # of the array of draws: 2 MB
DIGITS = 6  # of accuracies in results.jsonl: finer than any number of episodes


def accuracy_intervals(
    solved: np.ndarray, share: np.ndarray, clusters: np.ndarray | None = None
) -> dict[str, list[float]]:
    """The intervals [low, high] of both accuracies; equal outcomes give equal intervals, in any order.

    Args:
        solved, share: (E,) outcomes of episodes, see `episode_accuracies`.
        clusters: (E,) integers from 0: episodes of one number are drawn together. None: each by itself.
    """
    outcomes = np.stack([solved, share, np.ones(len(solved))], axis=1)  # (E, 3); the last column counts episodes
    if clusters is not None:
        outcomes = np.stack([np.bincount(clusters, column) for column in outcomes.T], axis=1)  # (C, 3)
    intervals = percentile_intervals(outcomes[:, :2], outcomes[:, 2])
    return {name: [round(float(end), DIGITS) for end in ends] for name, ends in zip(ACCURACIES, intervals, strict=True)}


def percentile_intervals(sums: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Intervals of the means `sums.sum(0) / sizes.sum()` when units are drawn with replacement.

    Many units are the same, as few outcomes are possible. So not units are drawn, one by one, but how often each
    different one comes: numbers of the multinomial distribution. It is the same distribution for a small part of the
    time and memory.

    Args:
        sums: (U, F) what each unit adds.
        sizes: (U,) how many each unit counts for.

    Returns:
        (F, 2) the ends of the intervals.
    """
    units = np.column_stack([sums, sizes]).round(12)  # sums in another order differ in their last bits
    different, counts = np.unique(units, axis=0, return_counts=True)  # (V, F + 1), (V,)
    random = np.random.default_rng(0)
    totals = np.empty((RESAMPLES, units.shape[1]))
    step = max(1, BLOCK_ELEMENTS // len(different))
    for start in range(0, RESAMPLES, step):
        rows = totals[start : start + step]
        rows[:] = random.multinomial(len(units), counts / len(units), size=len(rows)) @ different
    tail = (1 - LEVEL) / 2
    return np.quantile(totals[:, :-1] / totals[:, -1:], [tail, 1 - tail], axis=0).T
