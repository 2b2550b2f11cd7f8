"""Matches the objects of each frame of a video to those of the frame before, and counts right matches."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from dataset.vid.annotated_frames import AnnotatedFrame
from model.metrics.ranking.gallery_distances import EmbeddingDistances

Box = tuple[float, float, float, float]  # xmin, ymin, xmax, ymax in pixels

# Boxes that do not touch have an overlap distance of 1 and are not matched.
NO_OVERLAP = np.nextafter(1.0, 0.0)

# The meanings of the words in the table of `match`.
NOTES = [
    "In the animation, the number of an object comes from the matching. New: no match in the frame before. Wrong, with "
    "a dashed box: matched to another object. On this page, track is the number in the annotations.",
    "Right: objects in both of two consecutive frames that were matched to themselves. Wrong: matches of two different "
    "objects. Identity switch: an object's number differs from the one it had when it was last seen.",
    "A frame is matched to the last frame before it with objects, and to no earlier one. An object that was absent "
    "returns with another number; this counts as a switch after absence.",
    "Overlap of boxes: the same assignment by 1 - IoU of the annotated boxes; boxes that do not overlap are not "
    "matched. Chance: the average of random assignments, which match all objects they can, at any distance.",
]


@dataclass(frozen=True)
class Matching:
    """The objects of one frame matched to those of a later one.

    Attributes:
        first, second: positions of the frames in the video; frames between them have no objects.
        identities: true identities of the N objects of `first` and of the M objects of `second`.
        distances: (N, M), a row per object of `first`, a column per object of `second`.
        pairs: (row, column) of each match, in order of rows.
    """

    first: int
    second: int
    identities: tuple[Sequence[int], Sequence[int]]
    distances: np.ndarray
    pairs: tuple[tuple[int, int], ...]

    @property
    def right(self) -> list[tuple[int, int]]:
        """The pairs that join an object with itself."""
        rows, columns = self.identities
        return [pair for pair in self.pairs if rows[pair[0]] == columns[pair[1]]]

    @property
    def present(self) -> int:
        """The number of objects in both frames."""
        return len(set(self.identities[0]) & set(self.identities[1]))


@dataclass(frozen=True)
class Tracks:
    """The objects of F frames followed: F - 1 matchings (fewer with empty frames), and each object's number.

    `trackids` holds the true identity of each object of each frame.
    """

    trackids: Sequence[Sequence[int]]
    matchings: tuple[Matching, ...]
    numbers: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Score:
    """Matchings compared with the true identities.

    Attributes:
        present: objects in both frames of a matching, summed over all matchings.
        right: those that were matched to themselves.
        wrong: matches of different objects.
        switches: how often an object's number differs from the one it had when it was last seen.
        switches_after_absence: switches of objects that were not in the frame before: no matching could avoid these.
    """

    present: int
    right: int
    wrong: int
    switches: int
    switches_after_absence: int


def distance_matrix(first: np.ndarray, second: np.ndarray, metric: str) -> np.ndarray:
    """Distances of all rows of `first` to all rows of `second`: (N, D), (M, D) -> (N, M) float64.

    Args:
        metric: a module of `model.distances`.
    """
    distances = EmbeddingDistances(first, second, metric)
    rows, columns = np.indices(distances.shape).reshape(2, -1)
    return np.reshape(distances.in_units(distances.pairs(rows, columns)), distances.shape)


def overlap_distances(first: Sequence[Box], second: Sequence[Box]) -> np.ndarray:
    """1 - IoU (intersection over union) of boxes (xmin, ymin, xmax, ymax): N, M -> (N, M)."""
    a, b = np.asarray(first, float)[:, None], np.asarray(second, float)[None]  # (N, 1, 4), (1, M, 4)
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)  # (N, M)
    areas = [np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1) for boxes in (a, b)]
    return 1 - shared / (areas[0] + areas[1] - shared)


def assign(
    distances: np.ndarray, max_distance: float | None = None, random: np.random.Generator | None = None
) -> tuple[tuple[int, int], ...]:
    """The assignment of rows to columns with the smallest sum of distances (Hungarian method).

    With a limit, pairs farther apart than `max_distance` are not matched, and each unmatched object costs
    `max_distance`: the smallest sum over all assignments, partial ones included.

    Args:
        distances: (N, M), finite.
        random: decides between equally good assignments. Objects are listed by identity: always taking the first of
            equals would make an embedding of a single point look perfect.

    Returns:
        (row, column) of each match, in order of rows: min(N, M) of them without a limit.
    """
    random = random or np.random.default_rng(0)
    rows, columns = (random.permutation(size) for size in distances.shape)
    costs = distances[np.ix_(rows, columns)]
    if max_distance is not None:
        costs = np.minimum(costs, max_distance)
    chosen = zip(*linear_sum_assignment(costs), strict=True)
    pairs = sorted((int(rows[i]), int(columns[j])) for i, j in chosen)
    return tuple(pair for pair in pairs if max_distance is None or distances[pair] <= max_distance)


def track(
    trackids: Sequence[Sequence[int]], distances: Callable[[int, int], np.ndarray], max_distance: float | None = None
) -> Tracks:
    """Matches the objects of each frame to those of the last frame before it with objects, and numbers them.

    The first objects get 1, 2, ... A matched object takes its partner's number, any other a new one.

    Args:
        trackids: the true identity of each object of each frame.
        distances: maps the positions of two frames with N and M objects to their (N, M) distances.
        max_distance: pairs farther apart are not matched.
    """
    random, new = np.random.default_rng(0), itertools.count(1)
    matchings: list[Matching] = []
    numbers: list[tuple[int, ...]] = []
    before: int | None = None
    for frame, identities in enumerate(trackids):
        own: dict[int, int] = {}
        if identities and before is not None:
            matrix = distances(before, frame)  # (N, M)
            pairs = assign(matrix, max_distance, random)
            matchings.append(Matching(before, frame, (trackids[before], identities), matrix, pairs))
            own = {column: numbers[before][row] for row, column in pairs}
        numbers.append(tuple(own[i] if i in own else next(new) for i in range(len(identities))))
        before = frame if identities else before
    return Tracks(trackids, tuple(matchings), tuple(numbers))


def score(tracks: Tracks) -> Score:
    """Counts right and wrong matches and switches."""
    switches = absent = 0
    seen: dict[int, tuple[int, int]] = {}  # of each identity the number it had last, and in which frame
    before = -1
    for frame, (ids, numbers) in enumerate(zip(tracks.trackids, tracks.numbers, strict=True)):
        for identity, number in zip(ids, numbers, strict=True):
            last_number, last_frame = seen.get(identity, (number, frame))
            switches += number != last_number
            absent += number != last_number and last_frame != before
            seen[identity] = number, frame
        before = frame if ids else before
    present, right = sum(m.present for m in tracks.matchings), sum(len(m.right) for m in tracks.matchings)
    return Score(present, right, sum(len(m.pairs) for m in tracks.matchings) - right, switches, absent)


def expected_by_chance(tracks: Tracks) -> float:
    """The mean number of right matches of a random assignment: 1 / max(N, M) of the objects in both frames."""
    return sum(m.present / max(m.distances.shape) for m in tracks.matchings)


def match(
    frames: Sequence[AnnotatedFrame], embeddings: Sequence[np.ndarray], metric: str, max_distance: float | None
) -> tuple[Tracks, list[list[str]]]:
    """Matches the objects of F frames by their embeddings.

    Args:
        embeddings: (N, D) of each frame.
        metric, max_distance: see `distance_matrix` and `track`.

    Returns:
        The matchings, and a table of right matches for the embedding, the overlap of boxes, and chance.
    """
    trackids = [tuple(o.trackid for o in f.frame.objects) for f in frames]
    boxes = [[o.box for o in f.frame.objects] for f in frames]
    tracks = track(trackids, lambda a, b: distance_matrix(embeddings[a], embeddings[b], metric), max_distance)
    by_overlap = track(trackids, lambda a, b: overlap_distances(boxes[a], boxes[b]), NO_OVERLAP)

    table = [["matched by", "right", "of", "right, %", "wrong", "identity switches", "after absence"]]
    for name, matched in (("embedding", tracks), ("overlap of boxes", by_overlap)):
        s = score(matched)
        faults = [f"{count:,}" for count in (s.wrong, s.switches, s.switches_after_absence)]
        table.append([name, f"{s.right:,}", f"{s.present:,}", _percent(s.right, s.present), *faults])
    chance = expected_by_chance(tracks)
    return tracks, [*table, ["chance", f"{chance:,.1f}", f"{s.present:,}", _percent(chance, s.present), "", "", ""]]


def _percent(part: float, whole: int) -> str:
    return f"{100 * part / whole:.1f}" if whole else "-"
