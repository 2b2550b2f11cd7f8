"""Counts confusions: queries with an image of another class nearest, by the two classes."""

from dataclasses import dataclass

import numpy as np

from model.metrics.ranking.gallery_distances import Distances
from model.metrics.ranking.retrieval import Task


class NearestWrong:
    """Finds each query's nearest gallery image of another identity while its matches are ranked.

    `rank_matches` calls `see` for each tile of distances. These are approximate; candidates for the smallest are
    computed exactly. At equal distances the image that is listed first wins.

    Attributes:
        of: the distances.
        columns: (Q,) gallery index of the nearest non-match, -1 if there is none.
        distances: (Q,) exact, infinite if there is none.
    """

    def __init__(self, distances: Distances) -> None:
        self.of = distances
        self.columns = np.full(distances.shape[0], -1, np.int64)
        self.distances = np.full(distances.shape[0], np.inf)

    def see(self, tile: np.ndarray, rows: np.ndarray, first: int) -> None:
        """Takes distances (q, g) of queries (q,) to columns from `first` on, infinite for matches and excluded images.

        May be called from several threads for different queries. The columns of a query come in ascending order.
        """
        best = np.minimum(tile.min(1), self.distances[rows]).astype(tile.dtype)  # (q,)
        limit = self.of.reach(rows, best)
        # Nothing is nearer than 0, and later columns are listed later.
        limit[np.isinf(best) | (self.distances[rows] == 0)] = -np.inf
        local, columns = np.nonzero(tile <= limit[:, None])  # (p,) by query, columns ascending
        if not len(local):
            return
        exact = self.of.pairs(rows[local], columns + first)
        begins = np.flatnonzero(np.diff(local, prepend=-1))
        smallest = np.minimum.reduceat(exact, begins)  # of each query that has candidates
        equal = exact <= np.repeat(smallest + self.of.same(smallest), np.diff(begins, append=len(local)))
        local, columns = local[equal], columns[equal]
        columns = columns[np.flatnonzero(np.diff(local, prepend=-1))]  # the first of each query
        rows = rows[np.unique(local)]
        nearer = smallest < self.distances[rows] - self.of.same(smallest)
        self.columns[rows[nearer]] = columns[nearer] + first
        self.distances[rows[nearer]] = smallest[nearer]


@dataclass(frozen=True)
class Confusion:
    """The queries of one class with an image of one other class nearest.

    Attributes:
        query_class, found_class: the two identities.
        count: number of such queries.
        share: their share of the class's queries with a match.
        query, image: the nearest such pair, as indices among all queries and in the whole gallery.
        distance: the distance of that pair.
    """

    query_class: str
    found_class: str
    count: int
    share: float
    query: int
    image: int
    distance: float


@dataclass(frozen=True)
class ConfusedPair:
    """Two classes that are confused, in either direction.

    Attributes:
        classes: the two identities; the first is confused with the second more often than the reverse.
        counts: queries of the first class with the second nearest, and the reverse.
        share: their share of all queries with a match of both classes.
        example: the nearest pair of images.
    """

    classes: tuple[str, str]
    counts: tuple[int, int]
    share: float
    example: Confusion

    @property
    def count(self) -> int:
        return sum(self.counts)


def find_confusions(
    task: Task,
    wrong: NearestWrong,
    failed: np.ndarray,
    query_identities: np.ndarray,
    gallery_identities: np.ndarray,
    sizes: dict[str, int],
) -> list[Confusion]:
    """All confusions, by falling count, then by falling share, then by name.

    Args:
        task: queries and gallery.
        wrong: the nearest image of another class, for each query of the task.
        failed: (F,) indices of the queries for which that image is nearer than any match.
        query_identities, gallery_identities: (Q,) and (G,).
        sizes: number of queries with a match, by class.
    """
    queries, images = task.queries[failed], task.gallery[wrong.columns[failed]]
    distances = wrong.distances[failed]
    places: dict[tuple[str, str], list[int]] = {}
    for place, (query, image) in enumerate(zip(queries, images, strict=True)):
        places.setdefault((str(query_identities[query]), str(gallery_identities[image])), []).append(place)
    found = []
    for (query_class, found_class), those in places.items():
        nearest = min(those, key=lambda place: (distances[place], place))
        found.append(
            Confusion(
                query_class=query_class,
                found_class=found_class,
                count=len(those),
                share=len(those) / sizes[query_class],
                query=int(queries[nearest]),
                image=int(images[nearest]),
                distance=float(wrong.of.in_units(distances[nearest])),
            )
        )
    return sorted(found, key=lambda one: (-one.count, -one.share, one.query_class, one.found_class))


def confused_pairs(confusions: list[Confusion], sizes: dict[str, int]) -> list[ConfusedPair]:
    """The confusions with both directions joined, in the order of `find_confusions`.

    Args:
        confusions: all confusions.
        sizes: number of queries with a match, by class; classes that are only in the gallery are missing.
    """
    by_direction = {(one.query_class, one.found_class): one for one in confusions}
    pairs = []
    for (first, second), there in by_direction.items():
        back = by_direction.get((second, first))
        if back and (back.count, back.share, first) > (there.count, there.share, second):
            continue  # the more frequent direction comes first
        example = min([there, *([back] if back else [])], key=lambda one: one.distance)
        counts = (there.count, back.count if back else 0)
        share = sum(counts) / (sizes[first] + sizes.get(second, 0))
        pairs.append(ConfusedPair((first, second), counts, share, example))
    return sorted(pairs, key=lambda pair: (-pair.count, -pair.share, pair.classes))
