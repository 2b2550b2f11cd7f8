"""Distances to a gallery that is larger than the memory: read in parts, each for many queries."""

from collections.abc import Iterator

import numpy as np

from model.metrics.ranking.gallery_distances import EmbeddingDistances, Frame
from model.metrics.rows import Rows, StoredRows
from model.metrics.vectors import distances_of_pairs

PART = 8192  # parts are multiples of it, as far as the memory allows
MOST_READ = 2**25  # bytes of embeddings that are read for pairs


class StoredDistances(EmbeddingDistances):
    """The same distances as `EmbeddingDistances`, with some queries and a part of the gallery in memory.

    Several threads may call `pairs` and `tile` for the columns of the current part of `parts`; other calls read the
    files, and only one thread may make them.

    Args:
        query, gallery: (Q, D) and (G, D), stored or arrays.
        metric: a module of `model.distances`.
        memory_gb: bound in 10^9 bytes for the queries and the part in memory (at least one row of each).

    Raises:
        UserError: for an unknown metric, and when a file cannot be read.
    """

    stored = True

    def __init__(self, query: Rows, gallery: StoredRows, metric: str, memory_gb: float) -> None:
        self._bytes = memory_gb * 1e9
        rows = min(len(gallery), max(1, int(self._bytes / 2 / (12 * (gallery.shape[1] + 2)))))  # in both precisions
        self._step = rows // PART * PART or rows
        self._part: tuple[slice, slice, EmbeddingDistances] | None = None  # queries, columns, distances
        super().__init__(query, gallery, metric)

    def together(self, bytes_per_query: np.ndarray) -> list[slice]:
        ends = np.cumsum(bytes_per_query + 12 * self._query.shape[1])
        groups, start = [], 0
        while start < len(ends):
            held = ends[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, held + self._bytes / 2, side="right")))
            groups.append(slice(start, stop))
            start = stop
        return groups

    def parts(self, queries: slice) -> Iterator[slice]:
        near = self._query[queries]
        for start in range(0, self.shape[1], self._step):
            columns = slice(start, min(start + self._step, self.shape[1]))
            rows = self._gallery[columns]
            if not self._squared:
                rows = rows.astype(np.float64)  # once, instead of in every tile
            frame = Frame(self._scale, self._mean)
            self._part = queries, columns, EmbeddingDistances(near, rows, self.metric, frame)
            del rows
            yield columns
            self._part = None  # before the next one is read

    def pairs(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        if self._part and len(rows):
            queries, here, part = self._part
            if _within(rows, queries) and _within(columns, here):
                return part.pairs(rows - queries.start, columns - here.start)
        found, order = np.empty(len(rows)), np.argsort(columns, kind="stable")
        step = max(1, int(min(self._bytes / 2, MOST_READ) / (16 * self._query.shape[1])))
        for start in range(0, len(rows), step):
            chosen = order[start : start + step]
            (near, row), (far, column) = (np.unique(each[chosen], return_inverse=True) for each in (rows, columns))
            found[chosen] = distances_of_pairs(self._query[near], self._gallery[far], row, column, self._of_pairs)
        return self._exact(rows, columns, found)

    def tile(self, rows: np.ndarray, columns: slice) -> np.ndarray:
        if self._part:
            queries, here, part = self._part
            return part.tile(rows - queries.start, slice(columns.start - here.start, columns.stop - here.start))
        found = [self.tile(rows, here) for here in self.parts(slice(int(rows.min()), int(rows.max()) + 1))]
        return np.concatenate(found, axis=1)[:, columns]


def _within(numbers: np.ndarray, part: slice) -> bool:
    return bool(numbers.min() >= part.start and numbers.max() < part.stop)
