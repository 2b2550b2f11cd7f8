"""The nearest gallery image of another identity of each query, found while the ranks of its matches are counted."""

import numpy as np

from model.metrics.ranking.gallery_distances import Distances


class NearestWrong:
    """Watches the tiles of `rank_matches` (its argument `see`) and keeps each query's nearest non-match.

    A tile's distances are rough; those that may be the smallest are computed exactly. Of several at one distance, the
    image listed first is kept.

    Attributes:
        columns: (Q,) gallery index of the nearest non-match, -1 where there is none.
        distances: (Q,) exact, infinite where there is none.
    """

    def __init__(self, distances: Distances) -> None:
        self._of = distances
        self.columns = np.full(distances.shape[0], -1, np.int64)
        self.distances = np.full(distances.shape[0], np.inf)

    def see(self, tile: np.ndarray, rows: np.ndarray, first: int) -> None:
        """Distances (q, g) of non-matches, all others infinite, of queries (q,) to the columns from `first` on.

        May be called from several threads, for different queries; the columns of a query come in ascending order.
        """
        best = np.minimum(tile.min(1), self.distances[rows]).astype(tile.dtype)  # (q,)
        limit = self._of.reach(rows, best)
        # At 0 nothing is nearer, and what comes later is listed later.
        limit[np.isinf(best) | (self.distances[rows] == 0)] = -np.inf
        local, columns = np.nonzero(tile <= limit[:, None])  # (p,) by query, columns ascending
        if not len(local):
            return
        exact = self._of.pairs(rows[local], columns + first)
        begins = np.flatnonzero(np.diff(local, prepend=-1))
        smallest = np.minimum.reduceat(exact, begins)  # of each query that has candidates
        equal = exact <= np.repeat(smallest + self._of.same(smallest), np.diff(begins, append=len(local)))
        local, columns = local[equal], columns[equal]
        columns = columns[np.flatnonzero(np.diff(local, prepend=-1))]  # the first of each query
        rows = rows[np.unique(local)]
        nearer = smallest < self.distances[rows] - self._of.same(smallest)
        self.columns[rows[nearer]] = columns[nearer] + first
        self.distances[rows[nearer]] = smallest[nearer]
