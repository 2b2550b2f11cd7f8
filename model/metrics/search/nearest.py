"""Exact k nearest neighbours of many vectors, in blocks of queries on all cores.

Tiles of float32 distances, with a bound for their errors (`ranking/gallery_distances`), select the few gallery vectors
that can be among the k nearest. Only for these, distances are computed in float64, from the differences. So the order
is that of float64, with the speed of float32, and equal vectors have exactly equal distances. Ties go to the smaller
index.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from model.distances import find_distance, is_squared
from model.metrics.ranking.gallery_distances import EmbeddingDistances
from model.metrics.rows import Rows, StoredRows
from model.metrics.vectors import as_vectors, check_vectors, distances_of_pairs, squared_distances
from runtime.parallel import cores

BYTES_PER_DISTANCE = 20  # for all arrays (q, G) of a block, including those in float64 for cityblock
BYTES_PER_NUMBER = 28  # of a part of a stored gallery: in both precisions, and what converts it
MAX_BLOCK = 256  # larger blocks do not fit into the CPU cache, and are not faster
MAX_PAIRS = 1 << 18  # candidates that a thread computes together, at 60 bytes each


class Neighbours(NamedTuple):
    """The result of `nearest`: `indices` (Q, k) int64, nearest first, and `distances` (Q, k) float64.

    If there are fewer than k, the rest is -1 with distance infinity. `farthest` (Q,) is the distance of the farthest
    gallery vector if requested, else 0.
    """

    indices: np.ndarray
    distances: np.ndarray
    farthest: np.ndarray


def nearest(
    query: np.ndarray,
    gallery: Rows,
    k: int,
    metric: str,
    *,
    exclude: np.ndarray | None = None,
    farthest: bool = False,
    memory_gb: float = 1.0,
) -> Neighbours:
    """The k nearest gallery vectors of every query.

    Args:
        query, gallery: (Q, D) and (G, D), finite; the same array twice to search a set in itself. A stored gallery
            is read and searched in parts.
        metric: a module of `model.distances`; a zero vector has the cosine distance 1/2 to all others.
        exclude: (Q,) index of a gallery vector to skip, -1 for none.
        farthest: also find the farthest distance (without the skipped vector).
        memory_gb: bound in 10^9 bytes for the blocks of all threads, in addition to the vectors in float64 and float32
            and 16 MB of candidates per thread. With a stored gallery, also for the vectors of its parts.

    Raises:
        UserError: for vectors that do not fit each other, are NaN or infinite or empty, and for an unknown metric.
    """
    if isinstance(gallery, StoredRows):
        return _nearest_in_parts(query, gallery, k, metric, exclude, farthest, memory_gb / 2)
    check_vectors(query, gallery, metric)
    by_itself = query is gallery
    gallery = as_vectors(gallery, metric)
    query = gallery if by_itself else as_vectors(query, metric)
    find = _Search(query, gallery, min(k, len(gallery)), metric, exclude, farthest)
    step = int(np.clip(memory_gb * 1e9 / (cores() * BYTES_PER_DISTANCE * len(gallery)), 1, MAX_BLOCK))
    parts = [np.arange(start, min(start + step, len(query))) for start in range(0, len(query), step)]
    # Our own threads, each with one BLAS thread: then the partitions and comparisons run in parallel, too.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(cores()) as pool:
        list(pool.map(find, parts))
    if not is_squared(metric):
        return find.found
    return find.found._replace(
        distances=find.distance.of_squared(find.found.distances, np),
        farthest=find.distance.of_squared(find.found.farthest, np),
    )


def _nearest_in_parts(
    query: np.ndarray,
    gallery: StoredRows,
    k: int,
    metric: str,
    exclude: np.ndarray | None,
    farthest: bool,
    memory_gb: float,
) -> Neighbours:
    number, k = len(gallery), min(k, len(gallery))
    found = Neighbours(np.full((len(query), k), -1), np.full((len(query), k), np.inf), np.zeros(len(query)))
    step = max(1, int(memory_gb * 1e9 / (BYTES_PER_NUMBER * gallery.shape[1])))
    for start in range(0, number, step):
        rows = gallery[start : start + step]
        here = None
        if exclude is not None:
            here = np.where((exclude >= start) & (exclude < start + len(rows)), exclude - start, -1)
        part = nearest(query, rows, k, metric, exclude=here, farthest=farthest, memory_gb=memory_gb)
        indices = np.where(part.indices < 0, -1, part.indices + start)
        found = Neighbours(
            *merged(found.indices, found.distances, indices, part.distances, k),
            np.maximum(found.farthest, part.farthest),
        )
    return found


def merged(
    indices: np.ndarray, distances: np.ndarray, others: np.ndarray, their_distances: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of two sets of neighbours of the same queries, (Q, k) and (Q, k'), ties to the smaller index."""
    indices, distances = np.hstack([indices, others]), np.hstack([distances, their_distances])
    order = np.lexsort((indices, distances), axis=1)[:, :k]
    return np.take_along_axis(indices, order, 1), np.take_along_axis(distances, order, 1)


class _Search:
    """Called with numbers of queries (q,), from several threads: writes the result to their rows of `found`."""

    def __init__(
        self,
        query: np.ndarray,
        gallery: np.ndarray,
        k: int,
        metric: str,
        exclude: np.ndarray | None,
        farthest: bool,
    ) -> None:
        self.query, self.gallery, self.k, self.distance = query, gallery, k, find_distance(metric)
        self.squared, self.farthest = is_squared(metric), farthest
        self.exclude = np.full(len(query), -1) if exclude is None else exclude
        self.tiles = EmbeddingDistances(query, gallery, "sqeuclidean" if self.squared else metric)
        indices = np.full((len(query), k), -1, np.int64)
        self.found = Neighbours(indices, np.full(indices.shape, np.inf), np.zeros(len(query)))

    def __call__(self, rows: np.ndarray) -> None:
        tile = self.tiles.tile(rows, slice(0, len(self.gallery)))  # (q, G)
        with_one = np.flatnonzero(self.exclude[rows] >= 0)
        excluded = with_one, self.exclude[rows[with_one]]
        tile[excluded] = np.inf
        near = tile <= self.tiles.reach(rows, np.partition(tile, self.k - 1, axis=1)[:, self.k - 1])[:, None]
        near[excluded] = False
        tile[excluded] = -np.inf
        far = tile >= self.tiles.reach(rows, tile.max(1), -1)[:, None] if self.farthest else near
        far[excluded] = False
        step = max(1, MAX_PAIRS // len(self.gallery))
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            self._keep_nearest(rows[part], *self._pairs(rows[part], near[part]))
            if self.farthest:
                local, _, distances = self._pairs(rows[part], far[part])
                np.maximum.at(self.found.farthest, rows[part][local], distances)

    def _pairs(self, rows: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The pairs in the mask (q, G) of these queries: row of the mask, column, and exact distance, (P,) each."""
        local, columns = np.divmod(np.flatnonzero(mask), mask.shape[1])  # faster than `nonzero` of a matrix
        of = squared_distances if self.squared else self._sums
        return local, columns, distances_of_pairs(self.query, self.gallery, rows[local], columns, of)

    def _sums(self, query: np.ndarray, gallery: np.ndarray) -> np.ndarray:
        return self.distance.of_differences(query - gallery, np).sum(1)

    def _keep_nearest(self, rows: np.ndarray, local: np.ndarray, columns: np.ndarray, distances: np.ndarray) -> None:
        order = np.lexsort((distances, local))  # stable: equal distances keep ascending columns
        counts = np.bincount(local, minlength=len(rows))
        place = np.arange(len(local)) - np.repeat(np.cumsum(counts) - counts, counts)  # `local` is sorted already
        kept = place < self.k
        target = rows[local[kept]], place[kept]
        self.found.indices[target], self.found.distances[target] = columns[order[kept]], distances[order[kept]]
