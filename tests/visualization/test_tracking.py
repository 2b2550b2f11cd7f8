"""Matching objects from frame to frame, against brute force; counts of right matches, on small examples."""

from itertools import combinations, permutations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from visualization.tracks.tracking import (
    NO_OVERLAP,
    Score,
    assign,
    distance_matrix,
    expected_by_chance,
    overlap_distances,
    score,
    track,
)


def cost(distances, pairs, max_distance=None):
    """The sum that `assign` minimises: distances of matches, and `max_distance` for each match left undone."""
    missing = min(distances.shape) - len(pairs)
    return sum(distances[pair] for pair in pairs) + (missing * max_distance if missing else 0)


def all_assignments(n, m, partial):
    whole = min(n, m)
    for size in range(0 if partial else whole, whole + 1):
        for rows in combinations(range(n), size):
            for columns in permutations(range(m), size):
                yield tuple(zip(rows, columns, strict=True))


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (3, 3), (2, 5), (5, 2), (4, 4)])
@pytest.mark.parametrize("max_distance", [None, 0.0, 0.3, 0.6, 2.0])
def test_assignment_has_the_smallest_sum(shape, max_distance):
    random = np.random.default_rng(sum(shape))
    for _ in range(10):
        distances = random.random(shape)
        pairs = assign(distances, max_distance, random)
        choices = all_assignments(*shape, partial=max_distance is not None)
        best = min(cost(distances, choice, max_distance) for choice in choices)
        assert cost(distances, pairs, max_distance) == pytest.approx(best)
        assert list(pairs) == sorted(pairs)
        assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
        if max_distance is None:
            assert len(pairs) == min(shape)
        else:
            assert all(distances[pair] <= max_distance for pair in pairs)


def test_a_pair_at_the_limit_is_matched():
    assert assign(np.array([[0.5]]), 0.5) == ((0, 0),)
    assert assign(np.array([[0.5]]), 0.4) == ()


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cityblock", "cosine"])
def test_distances_are_those_of_scipy(metric):
    random = np.random.default_rng(0)
    first, second = random.normal(size=(3, 5)).astype(np.float32), random.normal(size=(4, 5)).astype(np.float32)
    np.testing.assert_allclose(distance_matrix(first, second, metric), cdist(first, second, metric), rtol=1e-6)


def test_overlap_of_boxes():
    boxes = [(0, 0, 4, 2), (-1.5, -1, 0.5, 1)]
    others = [(0, 0, 4, 2), (2, 0, 6, 2), (4, 0, 6, 2), (1, 0.5, 2, 1.5)]
    # of areas 8 and 4: shared 8, 4, 0, 1 and 0.5 * 1, 0, 0, 0
    expected = [[0, 1 - 4 / 12, 1, 1 - 1 / 8], [1 - 0.5 / 11.5, 1, 1, 1]]
    np.testing.assert_allclose(overlap_distances(boxes, others), expected)


def test_boxes_apart_are_not_matched():
    first, second = [(0, 0, 2, 2), (10, 0, 12, 2)], [(20, 0, 22, 2), (1, 0, 3, 2)]
    assert assign(overlap_distances(first, second), NO_OVERLAP) == ((0, 1),)


def on_a_line(positions):
    """Distances of objects that are points; one list of points per frame."""
    return lambda a, b: np.abs(np.subtract.outer(positions[a], positions[b]))


def test_numbers_are_handed_on_over_frames_without_objects():
    positions = [[], [0.0, 10.0], [], [], [10.1, 20.0, 0.2], [20.1]]
    tracks = track([range(len(p)) for p in positions], on_a_line(positions))
    assert [(m.first, m.second) for m in tracks.matchings] == [(1, 4), (4, 5)]
    assert tracks.numbers == ((), (1, 2), (), (), (2, 3, 1), (3,))
    assert tracks.matchings[0].pairs == ((0, 2), (1, 0))
    assert tracks.matchings[0].distances.shape == (2, 3)


def test_an_unmatched_object_gets_a_number_nobody_had():
    positions = [[0.0, 10.0], [0.1], [0.0, 10.0]]
    tracks = track([(7, 8), (7,), (7, 8)], on_a_line(positions))
    assert tracks.numbers == ((1, 2), (1,), (1, 3))
    limited = track([(7, 8), (7,), (7, 8)], on_a_line([[0.0, 10.0], [5.0], [5.1, 0.0]]), max_distance=1.0)
    assert limited.numbers == ((1, 2), (3,), (3, 4))


def test_score_of_an_example_by_hand():
    # Identities 7, 8, 9 at positions; between frames 1 and 2 the first two change places, 9 is absent in frame 2.
    trackids = [(7, 8, 9), (7, 8, 9), (7, 8), (), (7, 8, 9)]
    positions = [[0.0, 10.0, 20.0], [0.0, 10.0, 20.0], [10.0, 0.0], [], [10.0, 0.0, 20.0]]
    tracks = track(trackids, on_a_line(positions))
    assert tracks.numbers == ((1, 2, 3), (1, 2, 3), (2, 1), (), (2, 1, 4))
    result = score(tracks)
    # present: 3, then 2, then 2; wrong: the two that change places; switches: those two, and 9 after its absence
    assert result == Score(present=7, right=5, wrong=2, switches=3, switches_after_absence=1)
    assert expected_by_chance(tracks) == pytest.approx(3 / 3 + 2 / 3 + 2 / 3)


def test_one_point_for_all_is_no_better_than_chance():
    tracks = track([(0, 1, 2, 3)] * 200, lambda a, b: np.zeros((4, 4)))
    assert score(tracks).right == pytest.approx(expected_by_chance(tracks), rel=0.2)


def test_chance_is_the_mean_over_all_assignments():
    positions = [[0.0, 1.0], [0.0, 1.0, 2.0]]
    trackids = [(5, 6), (6, 7, 5)]
    choices = list(all_assignments(2, 3, partial=False))
    right = [sum(trackids[0][row] == trackids[1][column] for row, column in choice) for choice in choices]
    assert expected_by_chance(track(trackids, on_a_line(positions))) == pytest.approx(np.mean(right))
