"""The ranks of all matches of all queries, without sorting and without a Q x G matrix.

The rank of a match is a count of smaller distances. So the exact distances of the matches come first; then tiles of
distances, queries by gallery, are passed over once, and for each match is counted how many non-matches are surely
nearer and how many may be. Only where these counts differ are distances computed exactly.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from model.metrics.labels import MatchLists
from model.metrics.ranking.gallery_distances import Distances
from runtime.parallel import cores

TIES = {
    "pessimistic": "a non-match at the distance of a match ranks before it",
    "optimistic": "a non-match at the distance of a match ranks behind it",
    "stable": "of equal distances, that of the image listed earlier in the gallery ranks first",
}
TILE_COLUMNS = 8192  # a row of a tile and its masks stay in the processor's cache
WIDTH = 1024  # tiles are filled up to a multiple of it, see _count_below
PORTION = 2**17  # pairs that are looked at together
MANY = 80  # thresholds from which sorting a row is quicker than counting for each


class Ranks(NamedTuple):
    """Of M matches, query after query and from near to far.

    Attributes:
        ranks: (M,) counted from 1 among the gallery images that are not left out.
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
        """i: (M,) each match's number among those of its query, from 1."""
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
    """Ranks all matches.

    Args:
        distances: of Q queries to G gallery images.
        lists: which of them match, and which are left out.
        ties: one of `TIES`.
        batch_size: queries at a time, on each processor core.
        see: is shown the distances of all non-matches, tile by tile, the others being infinite, with the numbers of the
            tile's queries and of its first column; from several threads.
    """
    queries = len(lists.offsets) - 1
    starts = range(0, queries, batch_size)

    def work(start: int) -> tuple[np.ndarray, np.ndarray]:
        return _Block(distances, lists, np.arange(start, min(start + batch_size, queries)), ties).ranks(see)

    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(cores()) as pool:
        parts = list(pool.map(work, starts))
    return Ranks(np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]), lists.offsets)


class _Block:
    """Some queries: their matches, sorted, and what was counted for each so far."""

    def __init__(self, distances: Distances, lists: MatchLists, rows: np.ndarray, ties: str) -> None:
        part = slice(lists.offsets[rows[0]], lists.offsets[rows[-1] + 1])
        self._distances, self._rows, self._ties = distances, rows, ties
        self._offsets = lists.offsets[rows[0] : rows[-1] + 2] - part.start
        self._local = np.repeat(np.arange(len(rows)), np.diff(self._offsets))  # (m,) whose match it is
        columns = lists.columns[part]
        exact = distances.pairs(rows[self._local], columns)
        order = np.lexsort((exact, self._local))
        exact = _snapped(exact[order], self._local, distances)
        columns = columns[order]
        order = np.lexsort((columns, exact, self._local))
        self._columns, self._exact = columns[order], exact[order]
        out = slice(lists.left_out_offsets[rows[0]], lists.left_out_offsets[rows[-1] + 1])
        counts = np.diff(lists.left_out_offsets[rows[0] : rows[-1] + 2])
        # Neither matches nor what is left out count as non-matches.
        self._hidden_rows = np.concatenate([self._local, np.repeat(np.arange(len(rows)), counts)])
        self._hidden_columns = np.concatenate([self._columns, lists.left_out[out]])
        self._same = distances.same(self._exact)
        slack = distances.slack(rows[self._local], self._exact)
        # Of each query the lower bounds of its matches' distances, then the upper ones: all are counted in one go.
        self._ends = (2 * self._offsets).tolist()
        lengths = np.diff(self._offsets)[self._local]
        low = np.arange(len(columns)) + self._offsets[:-1][self._local]
        self._bounds, self._is_low = np.empty(2 * len(columns)), np.zeros(2 * len(columns), bool)
        self._bounds[low], self._bounds[low + lengths] = self._exact - slack, self._exact + slack
        self._is_low[low] = True
        self._memory = np.empty(MANY * TILE_COLUMNS, bool)  # threads that allocate wait for each other
        self._before = np.zeros(len(columns), np.int64)  # non-matches that rank before the match

    def ranks(self, see: Callable[[np.ndarray, np.ndarray, int], None]) -> tuple[np.ndarray, np.ndarray]:
        """(m,) ranks and (m,) distances."""
        for start in range(0, self._distances.shape[1], TILE_COLUMNS):
            stop = min(start + TILE_COLUMNS, self._distances.shape[1])
            tile = self._distances.tile(self._rows, slice(start, stop))
            here = (self._hidden_columns >= start) & (self._hidden_columns < stop)
            tile[self._hidden_rows[here], self._hidden_columns[here] - start] = np.inf
            see(tile, self._rows, start)
            if tile.shape[1] % WIDTH:
                tile = np.pad(tile, [(0, 0), (0, -tile.shape[1] % WIDTH)], constant_values=np.inf)
            self._count(tile, start)
        number = np.arange(1, len(self._local) + 1) - self._offsets[:-1][self._local]  # i = 1 .. R of each query
        return number + self._before, self._exact

    def _count(self, tile: np.ndarray, first: int) -> None:
        """Adds what a tile, whose columns begin at `first`, has before each match."""
        bounds = self._bounds.astype(tile.dtype)
        down, up = self._is_low & (bounds > self._bounds), ~self._is_low
        bounds[down] = np.nextafter(bounds[down], tile.dtype.type(-np.inf))
        bounds[up] = np.nextafter(bounds[up], tile.dtype.type(np.inf))  # what lies at the bound counts as well
        counts = np.empty(len(bounds), np.int64)
        for values, begin, end in zip(tile, self._ends[:-1], self._ends[1:], strict=True):
            self._count_below(values, bounds[begin:end], counts[begin:end])
        sure, perhaps = counts[self._is_low], counts[up]
        self._before += sure
        unclear = np.flatnonzero(perhaps > sure)
        if len(unclear):
            self._look_closer(unclear, tile, first, bounds[self._is_low], bounds[up])

    def _count_below(self, values: np.ndarray, thresholds: np.ndarray, counts: np.ndarray) -> None:
        """Writes how many of the values (g,), g a multiple of WIDTH, are below each threshold (t,) into counts (t,).

        In long calls: threads that make many short ones wait for each other more than they work.
        """
        if len(thresholds) > MANY:
            near = values[values < thresholds.max()]
            near.sort()
            counts[:] = np.searchsorted(near, thresholds, "left")
            return
        below = self._memory[: len(thresholds) * len(values)].reshape(len(thresholds), len(values))
        np.less(values, thresholds[:, None], out=below)
        # Ones and zeros, eight to a number: 128 such numbers add up without a carry from one byte to the next.
        sums = np.add.reduce(below.view(np.uint64).reshape(len(thresholds), -1, WIDTH // 8), axis=2)
        np.add.reduce(sums.view(np.uint8), axis=1, dtype=np.int64, out=counts)

    def _look_closer(
        self, unclear: np.ndarray, tile: np.ndarray, first: int, low: np.ndarray, high: np.ndarray
    ) -> None:
        """Settles by exact distances what stands before a match, where the tile's are too rough to tell."""
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
        """For queries, some of their matches, and the columns that are unclear for any of these."""
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
            # What is surely nearer has been counted already.
            self._before[matches] += before - np.searchsorted(np.sort(tile[row, columns]), low[matches], "left")


def _snapped(exact: np.ndarray, rows: np.ndarray, distances: Distances) -> np.ndarray:
    """Ascending distances of each row with those that count as equal made equal."""
    if len(exact) < 2:
        return exact
    new = (np.diff(exact) > distances.same(exact[1:])) | (np.diff(rows) > 0)
    return exact[np.maximum.accumulate(np.where(np.concatenate([[True], new]), np.arange(len(exact)), 0))]
