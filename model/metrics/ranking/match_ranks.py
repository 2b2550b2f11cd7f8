"""The ranks of all matches of all queries, without sorting and without a Q x G matrix.

The rank of a match is a count of smaller distances. First, the exact distances of the matches are computed. Then tiles
of distances (queries x gallery) are computed one by one. For each match, one count holds the non-matches that are
certainly nearer, another those that may be nearer. Only where the two differ are distances computed exactly.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from model.metrics.labels import MatchLists
from model.metrics.ranking.gallery_distances import Distances
from runtime.parallel import cores

TIES = {
    "pessimistic": "a non-match at the distance of a match ranks before it",
    "optimistic": "a non-match at the distance of a match ranks after it",
    "stable": "at equal distances, the image listed earlier in the gallery ranks first",
}
TILE_COLUMNS = 8192  # a row of a tile and its masks fit into the CPU cache
WIDTH = 1024  # tiles are padded to a multiple of it: see _count_below
PORTION = 2**17  # pairs that are computed together
BYTES_PER_MATCH, BYTES_PER_EXCLUDED = 100, 16  # for the queries that pass over a gallery together
MANY = 80  # with more thresholds, sorting a row is faster than counting


class Ranks(NamedTuple):
    """The ranks of M matches, query after query, from near to far.

    Attributes:
        ranks: (M,) counted from 1 among the gallery images that are not excluded.
        distances: (M,) exact.
        offsets: (Q + 1,) where each query's part begins.
    """

    ranks: np.ndarray
    distances: np.ndarray
    offsets: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """R: (Q,) the number of matches of each query."""
        return np.diff(self.offsets)

    @property
    def number(self) -> np.ndarray:
        """i: (M,) the number of each match among its query's matches, from 1."""
        return np.arange(1, len(self.ranks) + 1) - np.repeat(self.offsets[:-1], self.lengths)

    @property
    def near(self) -> np.ndarray:
        """(M,) bool: whether the match is among the R nearest."""
        return self.ranks <= np.repeat(self.lengths, self.lengths)

    @property
    def first(self) -> np.ndarray:
        """(Q,) float64: the rank of each query's first match."""
        return self.ranks[self.offsets[:-1]].astype(np.float64)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """The mean over each query's matches: (M,) -> (Q,) float64."""
        return np.add.reduceat(values, self.offsets[:-1], dtype=np.float64) / self.lengths


def rank_matches(
    distances: Distances,
    lists: MatchLists,
    ties: str = "pessimistic",
    *,
    batch_size: int = 256,
    see: Callable[[np.ndarray, np.ndarray, int], None] = lambda tile, rows, first: None,
) -> Ranks:
    """The ranks of all matches.

    Args:
        distances: from Q queries to G gallery images.
        lists: the pairs that match, and those that are excluded.
        ties: one of `TIES`.
        batch_size: queries at a time, on each CPU core.
        see: called for each tile, from several threads, with the distances of the non-matches (all others are
            infinite), the numbers of the tile's queries, and the number of its first column.
    """

    def work(rows: np.ndarray, block: _Block | None, exact: np.ndarray | None, columns: slice) -> Any:
        block = block or _Block(distances, lists, rows, ties, exact)
        block.count(columns, see)
        return block if columns.stop < distances.shape[1] else block.ranks()

    found: list[Any] = []
    kept = BYTES_PER_MATCH * np.diff(lists.offsets) + BYTES_PER_EXCLUDED * np.diff(lists.left_out_offsets)
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(cores()) as pool:
        for group in distances.together(kept):
            starts = range(group.start, group.stop, batch_size)
            rows = [np.arange(start, min(start + batch_size, group.stop)) for start in starts]
            blocks: list[Any] = [None] * len(rows)
            exact = _exact(distances, lists, rows) if distances.stored else blocks
            for columns in distances.parts(group):
                blocks = list(pool.map(work, rows, blocks, exact, repeat(columns)))
            found += blocks
    return Ranks(np.concatenate([p[0] for p in found]), np.concatenate([p[1] for p in found]), lists.offsets)


def _exact(distances: Distances, lists: MatchLists, blocks: list[np.ndarray]) -> list[np.ndarray]:
    """The exact distances of the matches of each block of queries; computed together, in one pass over a file."""
    offsets = lists.offsets[[rows[0] for rows in blocks] + [blocks[-1][-1] + 1]]
    rows = np.concatenate(blocks)
    rows = np.repeat(rows, np.diff(lists.offsets)[rows])
    return np.split(distances.pairs(rows, lists.columns[offsets[0] : offsets[-1]]), offsets[1:-1] - offsets[0])


class _Block:
    """Some queries: their sorted matches, and the count for each so far."""

    def __init__(
        self, distances: Distances, lists: MatchLists, rows: np.ndarray, ties: str, exact: np.ndarray | None
    ) -> None:
        part = slice(lists.offsets[rows[0]], lists.offsets[rows[-1] + 1])
        self._distances, self._rows, self._ties = distances, rows, ties
        self._offsets = lists.offsets[rows[0] : rows[-1] + 2] - part.start
        self._local = np.repeat(np.arange(len(rows)), np.diff(self._offsets))  # (m,) the query of each match
        columns = lists.columns[part]
        if exact is None:
            exact = distances.pairs(rows[self._local], columns)
        order = np.lexsort((exact, self._local))
        exact = _snapped(exact[order], self._local, distances)
        columns = columns[order]
        order = np.lexsort((columns, exact, self._local))
        self._columns, self._exact = columns[order], exact[order]
        out = slice(lists.left_out_offsets[rows[0]], lists.left_out_offsets[rows[-1] + 1])
        counts = np.diff(lists.left_out_offsets[rows[0] : rows[-1] + 2])
        # Matches and excluded images are not counted.
        self._hidden_rows = np.concatenate([self._local, np.repeat(np.arange(len(rows)), counts)])
        self._hidden_columns = np.concatenate([self._columns, lists.left_out[out]])
        self._same = distances.same(self._exact)
        slack = distances.slack(rows[self._local], self._exact)
        # For each query, the lower bounds of its matches' distances, then the upper ones: all are counted together.
        self._ends = (2 * self._offsets).tolist()
        lengths = np.diff(self._offsets)[self._local]
        low = np.arange(len(columns)) + self._offsets[:-1][self._local]
        self._bounds, self._is_low = np.empty(2 * len(columns)), np.zeros(2 * len(columns), bool)
        self._bounds[low], self._bounds[low + lengths] = self._exact - slack, self._exact + slack
        self._is_low[low] = True
        self._before = np.zeros(len(columns), np.int64)  # non-matches that rank before the match

    def count(self, columns: slice, see: Callable[[np.ndarray, np.ndarray, int], None]) -> None:
        """Counts in a part of the gallery."""
        self._memory = np.empty(MANY * TILE_COLUMNS, bool)  # threads that allocate wait for each other
        for start in range(columns.start, columns.stop, TILE_COLUMNS):
            stop = min(start + TILE_COLUMNS, columns.stop)
            tile = self._distances.tile(self._rows, slice(start, stop))
            here = (self._hidden_columns >= start) & (self._hidden_columns < stop)
            tile[self._hidden_rows[here], self._hidden_columns[here] - start] = np.inf
            see(tile, self._rows, start)
            if tile.shape[1] % WIDTH:
                tile = np.pad(tile, [(0, 0), (0, -tile.shape[1] % WIDTH)], constant_values=np.inf)
            self._count(tile, start)
        del self._memory

    def ranks(self) -> tuple[np.ndarray, np.ndarray]:
        """(m,) ranks and (m,) distances, after the whole gallery."""
        number = np.arange(1, len(self._local) + 1) - self._offsets[:-1][self._local]  # i = 1 .. R of each query
        return number + self._before, self._exact

    def _count(self, tile: np.ndarray, first: int) -> None:
        """Adds the count of a tile, whose first column is number `first`, for each match."""
        bounds = self._bounds.astype(tile.dtype)
        down, up = self._is_low & (bounds > self._bounds), ~self._is_low
        bounds[down] = np.nextafter(bounds[down], tile.dtype.type(-np.inf))
        bounds[up] = np.nextafter(bounds[up], tile.dtype.type(np.inf))  # values at the bound count as well
        counts = np.empty(len(bounds), np.int64)
        for values, begin, end in zip(tile, self._ends[:-1], self._ends[1:], strict=True):
            self._count_below(values, bounds[begin:end], counts[begin:end])
        sure, perhaps = counts[self._is_low], counts[up]
        self._before += sure
        unclear = np.flatnonzero(perhaps > sure)
        if len(unclear):
            self._look_closer(unclear, tile, first, bounds[self._is_low], bounds[up])

    def _count_below(self, values: np.ndarray, thresholds: np.ndarray, counts: np.ndarray) -> None:
        """Writes the number of values (g,) below each threshold (t,) into counts (t,); g is a multiple of WIDTH.

        It makes few long NumPy calls: threads with many short ones spend most of the time waiting for each other.
        """
        if len(thresholds) > MANY:
            near = values[values < thresholds.max()]
            near.sort()
            counts[:] = np.searchsorted(near, thresholds, "left")
            return
        below = self._memory[: len(thresholds) * len(values)].reshape(len(thresholds), len(values))
        np.less(values, thresholds[:, None], out=below)
        # Eight bytes of 0 or 1 are read as one number: 128 such numbers add up without a carry between bytes.
        sums = np.add.reduce(below.view(np.uint64).reshape(len(thresholds), -1, WIDTH // 8), axis=2)
        np.add.reduce(sums.view(np.uint8), axis=1, dtype=np.int64, out=counts)

    def _look_closer(
        self, unclear: np.ndarray, tile: np.ndarray, first: int, low: np.ndarray, high: np.ndarray
    ) -> None:
        """Counts by exact distances where the tile's distances are too imprecise."""
        portion, size = [], 0
        for matches in np.split(unclear, np.flatnonzero(np.diff(self._local[unclear])) + 1):  # those of each query
            row = self._local[matches[0]]
            near = np.zeros(tile.shape[1], bool)
            for match in matches:
                near |= (tile[row] >= low[match]) & (tile[row] < high[match])
            columns = np.flatnonzero(near)
            portion.append((row, matches, columns))
            size += len(columns)
            if size > PORTION:
                self._settle(portion, tile, first, low)
                portion, size = [], 0
        if portion:
            self._settle(portion, tile, first, low)

    def _settle(
        self, portion: list[tuple[int, np.ndarray, np.ndarray]], tile: np.ndarray, first: int, low: np.ndarray
    ) -> None:
        """Counts exactly for queries, some of their matches, and the columns that are unclear for any of these."""
        lengths = [len(columns) for _, _, columns in portion]
        rows = np.repeat([row for row, _, _ in portion], lengths)
        exact = self._distances.pairs(self._rows[rows], np.concatenate([c for _, _, c in portion]) + first)
        for (row, matches, columns), distances in zip(portion, np.split(exact, np.cumsum(lengths)[:-1]), strict=True):
            nearest, farthest = self._exact[matches] - self._same[matches], self._exact[matches] + self._same[matches]
            ascending = np.sort(distances)
            before = np.searchsorted(ascending, nearest, "left")
            if self._ties == "pessimistic":
                before = np.searchsorted(ascending, farthest, "right")
            elif self._ties == "stable":
                tied = (distances >= nearest[:, None]) & (distances <= farthest[:, None])
                before += (tied & (columns + first < self._columns[matches][:, None])).sum(1)
            # Columns that are certainly nearer have already been counted.
            self._before[matches] += before - np.searchsorted(np.sort(tile[row, columns]), low[matches], "left")


def _snapped(exact: np.ndarray, rows: np.ndarray, distances: Distances) -> np.ndarray:
    """Ascending distances of each row, in which distances within the tolerance become equal."""
    if len(exact) < 2:
        return exact
    new = (np.diff(exact) > distances.same(exact[1:])) | (np.diff(rows) > 0)
    return exact[np.maximum.accumulate(np.where(np.concatenate([[True], new]), np.arange(len(exact)), 0))]
