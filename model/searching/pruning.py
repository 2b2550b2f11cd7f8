"""Pruning by the median rule (Golovin et al., Google Vizier, 2017, in its simplest form)."""

import statistics
from collections.abc import Sequence

from model.training.supervisor import Evaluation

LEAST = 3  # other trials with a value at the same step; the median of fewer says little


def reason_to_prune(own: Sequence[Evaluation], others: Sequence[dict[int, float]]) -> str | None:
    """Why a run should end: its newest value is below the other trials' median at the same step; else None.

    Args:
        own: the run's evaluations. Step 0, before training, does not count.
        others: for each other trial, the metric by step.
    """
    if not own:
        return None
    newest = max(own)
    values = [other[newest.step] for other in others if newest.step in other]
    if newest.step == 0 or len(values) < LEAST:
        return None
    median = statistics.median(values)
    return f"{newest.value:.4g} at step {newest.step}, median {median:.4g}" if newest.value < median else None


def mean_by_step(runs: Sequence[Sequence[Evaluation]]) -> dict[int, float]:
    """The metric at each step, averaged over a trial's runs."""
    values: dict[int, list[float]] = {}
    for each in runs:
        for step, value in each:
            values.setdefault(step, []).append(value)
    return {step: statistics.fmean(found) for step, found in values.items()}
