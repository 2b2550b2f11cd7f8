"""Intervals, compared with SciPy's bootstrap, and groups, compared with the whole."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from helpers.episode_sets import make, random_episodes
from scipy import stats

from dataset.formats.episodes import Episodes
from model.metrics.episodes import bootstrap
from model.metrics.episodes.accuracies import episode_accuracies
from model.metrics.episodes.bootstrap import accuracy_intervals, percentile_intervals
from model.metrics.episodes.breakdown import breakdown_definitions, breakdown_metrics, grouped, power_of_two_bin

METRICS = ("general_accuracy", "easy_accuracy")


def outcomes(number: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """`solved` and `share` of episodes with 1 .. 6 negatives."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 7, number)
    right = rng.binomial(lengths, 0.8)
    return right == lengths, right / lengths


@pytest.mark.parametrize(
    ("resamples", "tolerance", "snippets"),  # tolerance: 4 standard errors of an end
    [(1000, 0.35, False), (20000, 0.1, False), (20000, 0.1, True)],
)
def test_against_scipy(resamples: int, tolerance: float, snippets: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole snippets are drawn; they have different lengths, and all or none of their episodes are solved."""
    monkeypatch.setattr(bootstrap, "RESAMPLES", resamples)
    rng = np.random.default_rng(3)
    solved, share = outcomes(400)
    units = np.repeat(np.arange(60), rng.integers(1, 9, 60)) if snippets else np.arange(400)
    if snippets:
        solved = (rng.random(60) < 0.7)[units]
        share = np.where(solved, 1, rng.choice([0, 1 / 3, 2 / 3], len(units)))
    intervals = accuracy_intervals(solved, share, units if snippets else None)
    assert list(intervals) == list(METRICS)

    def mean(sums: np.ndarray, sizes: np.ndarray, axis: int) -> np.ndarray:
        return sums.sum(axis) / sizes.sum(axis)

    for values, interval in zip((solved, share), intervals.values(), strict=True):
        sums = np.bincount(units, values), np.bincount(units)
        settings = {"paired": True, "method": "percentile", "n_resamples": 20000, "batch": 1000, "rng": 1}
        expected = stats.bootstrap(sums, mean, **settings)
        close = tolerance * expected.standard_error + 1 / len(values)  # accuracies are multiples of 1 / n
        assert interval == pytest.approx(list(expected.confidence_interval), abs=close)


def test_equal_outcomes_give_equal_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    solved, share = outcomes(500)
    clusters = np.arange(500) // 7
    first, clustered = accuracy_intervals(solved, share), accuracy_intervals(solved, share, clusters)
    order = np.random.default_rng(1).permutation(500)
    monkeypatch.setattr(bootstrap, "BLOCK_ELEMENTS", 1)
    assert accuracy_intervals(solved[order], share[order]) == first
    assert accuracy_intervals(solved[order], share[order], clusters[order]) == clustered
    assert accuracy_intervals(solved, share, np.arange(500)) == first  # snippets of one episode each


def test_memory_stays_small_when_every_outcome_is_different() -> None:
    rng = np.random.default_rng(0)
    tracemalloc.start()
    percentile_intervals(rng.random((10_000, 2)), np.ones(10_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6


@pytest.mark.parametrize(
    ("solved", "share", "clusters"),
    [([0], [0.25], None), *(([v] * 3, [v] * 3, c) for v in (0, 1) for c in (None, [0, 0, 1]))],
)
def test_equal_outcomes(solved: list, share: list, clusters: list[int] | None) -> None:
    clusters = None if clusters is None else np.array(clusters)
    intervals = accuracy_intervals(np.array(solved, bool), np.array(share, float), clusters)
    assert intervals == {"general_accuracy": [solved[0]] * 2, "easy_accuracy": [share[0]] * 2}


def test_groups_of_numbers_and_of_names() -> None:
    labels, order = grouped(np.array(["10", "9", "0", "10", "1", "2", "3", "4", "5"], object))
    assert order == ["0", "1", "2", "3", "4", "5", "9", "10"]  # 8 distinct numbers: one group each
    assert labels.tolist() == ["10", "9", "0", "10", "1", "2", "3", "4", "5"]
    labels, order = grouped(np.array(["16", "9", "0", "10", "1", "2", "3", "4", "5"], object))
    assert order == ["0", "1", "2-3", "4-7", "8-15", "16-31"]
    assert labels.tolist() == ["16-31", "8-15", "0", "8-15", "1", "2-3", "2-3", "4-7", "4-7"]
    bins = ["0", "1", *["2-3"] * 2, *["4-7"] * 4, *["8-15"] * 8, "16-31"]
    assert [power_of_two_bin(number) for number in range(17)] == bins
    for names in (["10", "9", "x"], ["-1", "10", "9"], ["9" * 5000, "²"]):
        assert grouped(np.array(names, object))[1] == names


@pytest.fixture
def episodes() -> Episodes:
    """400 episodes of 4 .. 9 candidates (less the anchor 2 .. 7) with attributes of every kind."""
    rng = np.random.default_rng(0)
    attributes = {
        "snippet": [f"video {i // 9}" for i in range(400)],
        "category": [f"n{i:02d}" for i in rng.integers(0, 5, 400)],
        "gap": [str(i) for i in rng.integers(0, 40, 400)],
        "thing": [f"t{i:03d}" for i in (*range(150), *range(50, 150), *range(50, 150), *range(50, 100))],
    }
    attributes = {name: np.array(values, object) for name, values in attributes.items()}
    return replace(random_episodes(rng, 400, 60), attributes=attributes)


def test_a_single_snippet_has_no_interval_of_snippets(episodes: Episodes) -> None:
    episodes = replace(episodes, attributes={"snippet": np.full(400, "video", object)})
    figures = breakdown_metrics(*outcomes(400), episodes)
    assert "intervals" in figures
    assert "snippet_intervals" not in figures
    for group in figures["breakdown"]["candidates"].values():
        assert group["snippets"] == 1
        assert "snippet_intervals" not in group


def test_groups_add_up_to_the_whole(episodes: Episodes) -> None:
    result = episode_accuracies(np.random.default_rng(1).standard_normal((60, 5)), episodes, "euclidean")
    figures = breakdown_metrics(result.solved, result.share, episodes)
    breakdown = figures["breakdown"]
    assert set(breakdown) == {"category", "gap", "thing", "candidates"}
    assert list(breakdown["gap"]) == ["0", "1", "2-3", "4-7", "8-15", "16-31", "32-63"]
    assert list(breakdown["candidates"]) == ["2", "3", "4", "5", "6", "7"]
    for groups in breakdown.values():
        sizes = [group["episodes"] for group in groups.values()]
        assert sum(sizes) == 400
        for metric, value in result.metrics.items():
            assert np.average([group[metric] for group in groups.values()], weights=sizes) == pytest.approx(value)
        for group in groups.values():
            assert 1 <= group["snippets"] <= min(45, group["episodes"])
            for key in ("intervals", "snippet_intervals"):
                for metric in METRICS:
                    low, high = group[key][metric]
                    assert 0 <= low <= group[metric] <= high <= 1
    chosen = episodes.attributes["category"] == "n03"
    group = breakdown["category"]["n03"]
    assert group["general_accuracy"] == pytest.approx(result.solved[chosen].mean(), abs=1e-6)
    assert group["intervals"] == accuracy_intervals(result.solved[chosen], result.share[chosen])
    assert figures["intervals"] == accuracy_intervals(result.solved, result.share)
    assert set(figures) <= set(breakdown_definitions(episodes))
    things = breakdown["thing"]  # beyond a hundred groups, the rarest are merged
    assert list(things) == [*(f"t{i:03d}" for i in range(50, 150)), "(others)"]
    assert (things["(others)"]["groups"], things["(others)"]["episodes"]) == (50, 50)


def test_without_attributes_there_is_the_number_of_candidates() -> None:
    episodes = make([(0, 1, [2]), (0, 1, [2, 3]), (3, 2, [0, 1])], 4)
    result = episode_accuracies(np.array([[0.0], [1], [3], [4]]), episodes, "euclidean")
    figures = breakdown_metrics(result.solved, result.share, episodes)
    assert set(figures) == {"intervals", "breakdown"} == set(breakdown_definitions(episodes))
    assert {name: group["episodes"] for name, group in figures["breakdown"]["candidates"].items()} == {"2": 1, "3": 2}
