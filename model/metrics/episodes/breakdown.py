"""Accuracies and intervals of groups of episodes: by attribute, and by number of candidates."""

from typing import Any

import numpy as np

from dataset.formats.episodes import RESERVED as CANDIDATES
from dataset.formats.episodes import SNIPPET, Episodes
from model.metrics.episodes.bootstrap import DIGITS, LEVEL, RESAMPLES, accuracy_intervals

OTHERS = "(others)"
MOST_GROUPS = 100  # for an attribute with text values
MOST_NUMBERS = 8  # with more distinct numbers, groups are ranges


def breakdown_metrics(solved: np.ndarray, share: np.ndarray, episodes: Episodes) -> dict[str, Any]:
    """The intervals and the breakdown of episodes, for results.jsonl.

    Args:
        solved, share: (E,) outcomes, see `episode_accuracies`.
        episodes: the E episodes.

    Returns:
        `intervals`, with episodes drawn one by one; `snippet_intervals`, with whole snippets drawn, if there are
        several; and `breakdown`, by attribute and group: `episodes`, `snippets` if known, both accuracies, and their
        intervals. The group `(others)` also has `groups`, the number of groups in it.
    """
    snippets = episodes.attributes.get(SNIPPET)
    clusters = None if snippets is None else np.unique(snippets, return_inverse=True)[1]  # (E,)
    candidates = np.diff(episodes.offsets) + 1
    columns = {name: values for name, values in episodes.attributes.items() if name != SNIPPET}
    columns[CANDIDATES] = candidates.astype(str).astype(object)
    breakdown: dict[str, dict[str, Any]] = {}
    for name, values in columns.items():
        labels, order = grouped(values)
        groups = breakdown[name] = {}
        for label in order:
            chosen = labels == label
            groups[label] = _accuracies(solved[chosen], share[chosen], None if clusters is None else clusters[chosen])
        if OTHERS in groups:
            groups[OTHERS]["groups"] = len(set(values[labels == OTHERS]))
    whole = _accuracies(solved, share, clusters)
    return {name: whole[name] for name in ("intervals", "snippet_intervals") if name in whole} | {
        "breakdown": breakdown
    }


def breakdown_definitions(episodes: Episodes) -> dict[str, str]:
    """The definitions of `breakdown_metrics`."""
    how = f"{LEVEL:.0%} percentile bootstrap, {RESAMPLES} resamples of"
    definitions = {"intervals": f"{how} episodes"}
    if SNIPPET in episodes.attributes:
        definitions["snippet_intervals"] = f"{how} snippets, each with all its episodes"
    return definitions | {"breakdown": "the same for groups of episodes; candidates: number of positives and negatives"}


def grouped(values: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """The group of each value, and the order of the groups.

    If all values are whole numbers from 0, each is a group, or, if there are many, the groups are 0, 1, 2-3, 4-7, 8-15
    and so on. Other values are groups by name; beyond `MOST_GROUPS`, the rarest go to `(others)`, which comes last.

    Args:
        values: (E,) strings.

    Returns:
        (E,) the label of each value; the distinct labels, in numerical order or by name.
    """
    different, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    if all(value.isascii() and value.isdigit() and len(value) < 19 for value in different):
        numbers = [int(value) for value in different]
        each = len(set(numbers)) <= MOST_NUMBERS
        labels = [str(number) if each else power_of_two_bin(number) for number in numbers]
        first = {label: number for number, label in sorted(zip(numbers, labels, strict=True), reverse=True)}
        order = sorted(first, key=first.__getitem__)
    else:
        frequent = sorted(range(len(different)), key=lambda i: (-counts[i], different[i]))[:MOST_GROUPS]
        kept = {different[i] for i in frequent}
        labels = [value if value in kept else OTHERS for value in different]
        order = sorted(set(labels), key=lambda label: (label == OTHERS, label))
    return np.array(labels, dtype=object)[which], order


def power_of_two_bin(number: int) -> str:
    """The bin of a number from 0: 0, 1, 2-3, 4-7, 8-15 ..."""
    if number < 2:
        return str(number)
    low = 1 << number.bit_length() - 1
    return f"{low}-{2 * low - 1}"


def _accuracies(solved: np.ndarray, share: np.ndarray, clusters: np.ndarray | None) -> dict[str, Any]:
    """Both accuracies of some episodes, with intervals."""
    found = {
        "episodes": len(solved),
        "general_accuracy": round(float(solved.mean()), DIGITS),
        "easy_accuracy": round(float(share.mean()), DIGITS),
        "intervals": accuracy_intervals(solved, share),
    }
    if clusters is not None:
        different, clusters = np.unique(clusters, return_inverse=True)
        found["snippets"] = len(different)
        if len(different) > 1:  # resampling a single snippet gives no interval
            found["snippet_intervals"] = accuracy_intervals(solved, share, clusters)
    return found
