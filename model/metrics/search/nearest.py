"""Exact k nearest neighbours of many vectors, in blocks of queries on all cores.

Products in single precision say which few gallery vectors can be among the k nearest, with a bound on their rounding
errors; only of those are the distances computed in float64, from the differences. So the order is that of float64, at
the speed of float32, and equal vectors are at exactly equal distances. Ties go to the smaller index.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from model.distances import find_distance, has_unit_length, is_squared, list_distances
from model.metrics.ranking.gallery_distances import sums_over_dimensions, unit_rows
from runtime.errors import UserError
from runtime.parallel import cores

BYTES_PER_DISTANCE = 20  # of a block's arrays (q, G) together, with those in float64 of cityblock
MAX_BLOCK = 256  # larger blocks leave the processor's cache and gain nothing
MAX_PAIRS = 1 << 18  # candidates that a thread looks at together, at 60 bytes each
ROWS = 4096  # that are converted at a time
MAX_ELEMENTS = 1 << 18  # of the differences that are held at a time: 2 MB
UNIT = 2.0**-24  # the relative error of one rounding to float32
TINY = 1e-36  # beyond what underflow takes from sums of products of numbers up to 1


class Neighbours(NamedTuple):
    """What `nearest` finds: `indices` (Q, k) int64, nearest first, and `distances` (Q, k) float64.

    Where there are fewer than k, the rest is -1 at distance infinity. `farthest` (Q,) is the distance of the farthest
    gallery vector where that was asked for, else empty.
    """

    indices: np.ndarray
    distances: np.ndarray
    farthest: np.ndarray


def nearest(
    query: np.ndarray,
    gallery: np.ndarray,
    k: int,
    metric: str,
    *,
    exclude: np.ndarray | None = None,
    farthest: bool = False,
    memory_gb: float = 1.0,
    progress: Callable[[int], None] | None = None,
) -> Neighbours:
    """The k nearest gallery vectors of every query.

    Args:
        query, gallery: (Q, D) and (G, D), finite; the same array twice for a set that is searched by itself.
        metric: a module of `model.distances`; a zero vector is at cosine distance 1/2 from all others.
        exclude: (Q,) index of a gallery vector that is passed over, -1 for none.
        farthest: find the farthest distance as well (the excluded vector is not counted).
        memory_gb: bound in 10^9 bytes for the blocks of all threads, beside the vectors in float64 and float32 and
            16 MB of candidates for each thread.
        progress: called with the number of queries done.

    Raises:
        UserError: for vectors that do not fit each other, are not finite or none at all, and a wrong k or metric.
        ValueError: for `exclude` that does not fit.
    """
    check_vectors(query, gallery, metric)
    check_positive(k=k, memory_gb=memory_gb)
    if exclude is not None and (np.shape(exclude) != query.shape[:1] or np.max(exclude, initial=-1) >= len(gallery)):
        raise ValueError(f"exclude: one index below {len(gallery)} for each of {len(query)} queries, or -1")
    by_itself = query is gallery
    gallery = as_vectors(gallery, metric)
    query = gallery if by_itself else as_vectors(query, metric)
    find = _Search(query, gallery, min(k, len(gallery)), metric, exclude, farthest)

    workers = cores()
    step = int(np.clip(memory_gb * 1e9 / (workers * BYTES_PER_DISTANCE * len(gallery)), 1, MAX_BLOCK))
    blocks = [slice(start, min(start + step, len(query))) for start in range(0, len(query), step)]
    # Threads of our own, each with one thread of BLAS: the partitions and comparisons then run side by side as well.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
        try:
            for block, _ in zip(blocks, pool.map(find, blocks), strict=True):
                if progress:
                    progress(block.stop)
        finally:
            pool.shutdown(cancel_futures=True)
    return find.found()


class _Search:
    """Called with a block of queries, from several threads: writes what it finds to this block's rows."""

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
        self.squared = is_squared(metric)
        self.exclude = np.full(len(query), -1) if exclude is None else exclude
        self.excluded_rows = np.flatnonzero(self.exclude >= 0)
        self.indices = np.full((len(query), k), -1, np.int64)
        self.distances = np.full((len(query), k), np.inf)
        self.farthest = np.zeros(len(query) if farthest else 0)
        # The error of |q - g|^2 as |q|^2 + |g|^2 - 2 q.g in float32 is below `slack` (|q|^2 + |g|^2): D + 1 roundings
        # of q.g, as 2 |q| |g| <= |q|^2 + |g|^2, and a few of the rest; sums over the dimensions are of float64.
        dimensions = query.shape[1]
        self.slack = 1.01 * UNIT * (dimensions + 12) if self.squared else 1e-15 * (dimensions + 8)
        if not self.squared:
            return
        mean, scale = centre_and_scale(gallery, query)
        self.gallery32, self.gallery_norms = centred_single(gallery, mean, scale)
        self.query32, self.query_norms = (
            (self.gallery32, self.gallery_norms) if query is gallery else centred_single(query, mean, scale)
        )
        self.upper_norms = (self.gallery_norms * (1 + self.slack)).astype(np.float32)  # (G,)
        self.spread = (self.gallery_norms * (2 * self.slack)).astype(np.float32)

    def __call__(self, block: slice) -> None:
        near, far = self._candidates(block)  # (q, G) bool
        step = max(1, MAX_PAIRS // len(self.gallery))
        for start in range(0, len(near), step):
            part = slice(start, start + step)
            self._keep_nearest(block.start + start, near[part])
            if len(self.farthest):
                self._keep_farthest(block.start + start, far[part])

    def found(self) -> Neighbours:
        distances, farthest = self.distances, self.farthest
        if self.squared:
            distances, farthest = (self.distance.of_squared(each, np) for each in (distances, farthest))
        return Neighbours(self.indices, distances, farthest)

    def _candidates(self, block: slice) -> tuple[np.ndarray, np.ndarray]:
        """Masks (q, G) of what may be among the k nearest, and of what may be the farthest (if that is asked for)."""
        if self.squared:
            # Less |q|^2, which is the same along a row.
            upper = (-2 * self.query32[block]) @ self.gallery32.T  # (q, G)
            upper += self.upper_norms
        else:
            upper = sums_over_dimensions(self.query[block], self.gallery, self.distance)  # (q, G)
            upper *= 1 + self.slack
        excluded = self.excluded_rows[slice(*np.searchsorted(self.excluded_rows, (block.start, block.stop)))]
        excluded = excluded - block.start, self.exclude[excluded]
        upper[excluded] = np.inf
        lower = upper.copy()
        lower.partition(self.k - 1, axis=1)
        limit = lower[:, self.k - 1].copy()  # the k-th nearest is no farther
        if self.squared:
            np.subtract(upper, self.spread, out=lower)
            margin = (self.query_norms[block] * (2 * self.slack) + TINY).astype(np.float32)
        else:
            np.multiply(upper, (1 - self.slack) / (1 + self.slack), out=lower)
            margin = np.zeros_like(limit)
        near = lower <= (limit + margin)[:, None]
        near[excluded] = False
        if not len(self.farthest):
            return near, near
        upper[excluded] = lower[excluded] = -np.inf
        far = upper >= (lower.max(1) - margin)[:, None]
        far[excluded] = False
        return near, far

    def _keep_nearest(self, first: int, mask: np.ndarray) -> None:
        rows, columns, distances = self._pairs(first, mask)
        order = np.lexsort((distances, rows))  # stable: columns ascend among equals
        counts = np.bincount(rows, minlength=len(mask))
        place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)  # `rows` is sorted already
        kept = place < self.k
        target = first + rows[kept], place[kept]
        self.indices[target], self.distances[target] = columns[order[kept]], distances[order[kept]]

    def _keep_farthest(self, first: int, mask: np.ndarray) -> None:
        rows, _, distances = self._pairs(first, mask)
        np.maximum.at(self.farthest, first + rows, distances)

    def _pairs(self, first: int, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows (from 0), columns and distances in float64, see `pair_distances`, of what the mask holds."""
        rows, columns = np.divmod(np.flatnonzero(mask), mask.shape[1])
        terms = np.square if self.squared else partial(self.distance.of_differences, xp=np)
        return rows, columns, pair_distances(self.query, self.gallery, first + rows, columns, terms)


def pair_distances(
    query: np.ndarray,
    gallery: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    terms: Callable[[np.ndarray], np.ndarray] = np.square,
) -> np.ndarray:
    """The distances (M,) of M pairs of vectors, from their differences: by default squared Euclidean ones."""
    distances = np.empty(len(rows))
    step = max(1, MAX_ELEMENTS // max(1, query.shape[1]))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        difference = query[rows[part]] - gallery[columns[part]]  # (m, D)
        distances[part] = terms(difference).sum(1)
    return distances


def as_vectors(vectors: np.ndarray, metric: str) -> np.ndarray:
    """The vectors in float64, divided by their length if the metric wants that (the zero vector stays)."""
    vectors = np.ascontiguousarray(vectors, np.float64)
    return unit_rows(vectors) if has_unit_length(metric) else vectors


def check_vectors(query: np.ndarray, gallery: np.ndarray, metric: str, *, squared: bool = False) -> None:
    """Raises `UserError` unless both are finite, not empty and of one dimension, and there is such a metric.

    With `squared` it must be a function of the squared Euclidean distance.
    """
    if metric not in list_distances(squared):
        raise UserError(f"metric {metric!r}: here it must be one of {', '.join(list_distances(squared))}")
    for name, vectors in {"query": query, "gallery": gallery}.items():
        if vectors.ndim != 2 or not vectors.size:
            raise UserError(f"{name} embeddings of shape {vectors.shape}: they must be (N, D), with N and D at least 1")
        bad = 0 if name == "gallery" and gallery is query else int((~np.isfinite(vectors).all(1)).sum())
        if bad:
            raise UserError(f"{bad} of {len(vectors)} {name} embeddings are not finite (NaN or infinite)")
    if query.shape[1] != gallery.shape[1]:
        sizes = f"{query.shape[1]} and {gallery.shape[1]}"
        raise UserError(f"query and gallery embeddings have {sizes} dimensions; compute both with one model")


def check_positive(**values: float) -> None:
    """Raises `UserError` for a value that is not above 0; names with `gb` need not be whole numbers."""
    for name, value in values.items():
        whole = isinstance(value, (int, np.integer)) or name.endswith("gb")
        if isinstance(value, bool) or not whole or not value > 0:
            kind = "a number" if name.endswith("gb") else "a whole number"
            raise UserError(f"{name} {value!r}: it must be {kind} greater than 0")


def centre_and_scale(gallery: np.ndarray, query: np.ndarray | None = None) -> tuple[np.ndarray, float]:
    """The gallery's mean (D,), and the power of two that makes all numbers about it at most 1.

    About the mean, the norms are of the size of the distances, and single precision loses little; a power of two
    changes no digit.
    """
    mean = gallery.mean(0)
    arrays = [gallery] if query is None or query is gallery else [gallery, query]
    largest = max(
        float(np.abs(array[i : i + ROWS] - mean).max()) for array in arrays for i in range(0, len(array), ROWS)
    )
    return mean, 2.0 ** -int(np.frexp(largest)[1])


def centred_single(vectors: np.ndarray, mean: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """The vectors about the mean, scaled, (N, D) float32, and their squared norms (N,) float64."""
    single, norms = np.empty(vectors.shape, np.float32), np.empty(len(vectors))
    for start in range(0, len(vectors), ROWS):
        part = slice(start, start + ROWS)
        centred = (vectors[part] - mean) * scale
        single[part], norms[part] = centred, np.square(centred).sum(1)
    return single, norms
