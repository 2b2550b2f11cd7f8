"""Which classes are taken for which: queries whose nearest image is of another class, counted by the two classes."""

from dataclasses import dataclass

import numpy as np

from model.metrics.ranking.gallery_distances import Distances
from model.metrics.ranking.retrieval import Task


class NearestWrong:
    """The nearest gallery image of another identity of each query, found while the ranks of its matches are counted.

    It watches the tiles of `rank_matches` (its argument `see`).
    A tile's distances are rough; those that may be the smallest are computed exactly. Of several at one distance, the
    image listed first is kept.

    Attributes:
        of: the distances.
        columns: (Q,) gallery index of the nearest non-match, -1 where there is none.
        distances: (Q,) exact, infinite where there is none.
    """

    def __init__(self, distances: Distances) -> None:
        self.of = distances
        self.columns = np.full(distances.shape[0], -1, np.int64)
        self.distances = np.full(distances.shape[0], np.inf)

    def see(self, tile: np.ndarray, rows: np.ndarray, first: int) -> None:
        """Distances (q, g) of non-matches, all others infinite, of queries (q,) to the columns from `first` on.

        May be called from several threads, for different queries; the columns of a query come in ascending order.
        """
        best = np.minimum(tile.min(1), self.distances[rows]).astype(tile.dtype)  # (q,)
        limit = self.of.reach(rows, best)
        # At 0 nothing is nearer, and what comes later is listed later.
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
    """Queries of one class whose nearest image is of one other class.

    Attributes:
        query_class, found_class: the two identities.
        count: of such queries.
        share: of the class's queries that have a match.
        query, image: the nearest such pair, as numbers among all queries and in the whole gallery.
        distance: of that pair, in the unit of the metric.
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
    """Two classes, and how often one is taken for the other, in either direction.

    Attributes:
        classes: the identities, first the one that is oftener taken for the other.
        counts: queries of the first with the second nearest, and the other way round.
        share: of all queries of both classes that have a match.
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
    """All there are, the most frequent first; then the larger share, then the names.

    Args:
        task: who is to be found among whom.
        wrong: the nearest image of another class of each of its queries.
        failed: (F,) the numbers of those of them whose nearest image of all that is.
        query_identities, gallery_identities: (Q,) and (G,).
        sizes: queries that have a match, by class.
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
    """Both directions of each confusion together, in the order of `find_confusions`.

    Args:
        confusions: all there are.
        sizes: queries that have a match, by class; a class of the gallery alone has none.
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
