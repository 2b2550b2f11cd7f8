"""Distances from queries to a gallery: fast ones in tiles, exact ones for single pairs.

A ranking depends only on which of two distances is smaller. So most of the work is a float32 matrix product, and
`slack` bounds its error. Only distances that differ by less than this bound are computed again in float64, coordinate
by coordinate. The result is the ranking of float64, with the speed of float32 and half the memory.
"""

from collections.abc import Iterable
from types import ModuleType
from typing import NamedTuple, TypeVar

import numpy as np
from scipy.spatial.distance import cdist

from model.distances import find_distance, has_unit_length, is_squared
from model.metrics.rows import Rows
from model.metrics.vectors import as_vectors, blocks, distances_of_pairs, unit_rows

Distance = TypeVar("Distance", float, np.ndarray)

# Relative to the squared lengths. The measured error of float32 products, with the mean subtracted, was at most 14
# units of 2^-24 (D from 8 to 8192; random, nearly parallel, and with outliers).
_PRODUCT_ERROR = 32 * 2.0**-24
_ONE = 1e-12  # exact distances with a smaller relative difference are equal: the rounding of float64
_COSINE_NOISE = 1e-14  # the cosine distance of parallel vectors after rounding to float32


class Distances:
    """Distances between Q queries and G gallery images, in any unit with the same order.

    Several threads call `pairs`, `tile` and `slack`. In this base class, tiles are exact, and distances are equal only
    if all bits are.
    """

    shape: tuple[int, int]
    stored = False  # whether the gallery is in a file

    def pairs(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Exact distances of P pairs: (P,) float64."""
        raise NotImplementedError

    def tile(self, rows: np.ndarray, columns: slice) -> np.ndarray:
        """Distances (q, g) from queries to a part of the gallery, float32 or float64; the caller may change them."""
        raise NotImplementedError

    def slack(self, rows: np.ndarray, distances: np.ndarray) -> np.ndarray:
        """Bound for the error of `tile` near a distance: (P,) for P queries and exact distances."""
        return np.zeros(len(distances))

    def same(self, distances: np.ndarray) -> np.ndarray:
        """Tolerance (P,): other distances within it are equal to these."""
        return np.zeros(len(distances))

    def reach(self, rows: np.ndarray, distances: np.ndarray, sign: int = 1) -> np.ndarray:
        """The largest tile value that may be as near as the given tile values (q,) of q queries.

        With `sign` -1: the smallest tile value that may be as far. Both values may be off by the slack, and so may the
        distance for which the slack is computed.
        """
        limit = distances + sign * 2.5 * self.slack(rows, np.maximum(distances, 0))
        return np.nextafter(limit.astype(distances.dtype), distances.dtype.type(sign * np.inf))

    def in_units(self, distance: Distance) -> Distance:
        """Converts distances to the unit of the metric."""
        return distance

    def together(self, bytes_per_query: np.ndarray) -> list[slice]:
        """Queries that pass over the gallery together, given what the caller keeps for each (Q,): here all."""
        return [slice(0, len(bytes_per_query))]

    def parts(self, queries: slice) -> Iterable[slice]:
        """The columns in parts, each in memory until the next one: here all. Other tiles and pairs cost more."""
        return [slice(0, self.shape[1])]


class Frame(NamedTuple):
    """The unit and the origin of float32 products, in which they are most precise: of all queries and images."""

    scale: float
    mean: np.ndarray | float


class EmbeddingDistances(Distances):
    """Distances from embeddings (Q, D) to (G, D), float32 or float64.

    Functions of the squared Euclidean distance have its order, so this class computes squared distances, of embeddings
    with length 1 if the metric asks for that. For these, a zero vector has the squared distance 2 from all others.

    Args:
        query, gallery: the embeddings.
        metric: a module of `model.distances`.
        frame: that of a larger gallery, of which this is a part; None: their own.

    Raises:
        UserError: for an unknown metric.
    """

    def __init__(self, query: Rows, gallery: Rows, metric: str, frame: Frame | None = None) -> None:
        self._distance = find_distance(metric)
        self._squared, self._unit = is_squared(metric), has_unit_length(metric)
        self.metric, self.shape = metric, (len(query), len(gallery))
        self._query, self._gallery = query, gallery
        self._scale, self._mean = frame or Frame(1.0, 0.0)
        if not self._squared:
            return
        if frame is None:
            self._scale = 2.0 ** -int(np.frexp(max(_largest(query), _largest(gallery)))[1])
            self._mean = self._mean_vector()
        self._lengths, self._no_query = np.empty(len(query)), np.empty(len(query), bool)
        self._no_image = np.empty(len(gallery), bool)  # zero vectors have no direction
        self._longest = 0.0
        for part in blocks(*query.shape):
            rows = query[part]
            self._lengths[part] = np.square(self._vectors(rows) - self._mean).sum(1)
            self._no_query[part] = rows.any(1) == 0
        self._measure_gallery()

    def _mean_vector(self) -> np.ndarray:
        """Cancellation in |q|^2 - 2 q.g + |g|^2 grows with the lengths; subtracting the mean makes them shortest."""
        parts = blocks(*self._gallery.shape)
        mean: np.ndarray = sum(self._vectors(self._gallery[part]).sum(0) for part in parts) / max(self.shape[1], 1)
        return mean

    def _measure_gallery(self) -> None:
        self._targets = np.empty((0 if self.stored else self.shape[1], self._gallery.shape[1] + 2), np.float32)
        for part in blocks(*self._gallery.shape):
            rows = self._gallery[part]
            vectors = self._vectors(rows) - self._mean
            squares = np.square(vectors).sum(1)
            if not self.stored:
                self._targets[part] = np.column_stack([vectors, squares, np.ones(len(vectors))])
            self._longest = max(self._longest, float(squares.max(initial=0)))
            self._no_image[part] = rows.any(1) == 0

    def _vectors(self, emb: np.ndarray) -> np.ndarray:
        """Embeddings in float64, scaled or divided by their length; the same array if nothing changes."""
        vectors = emb.astype(np.float64, copy=self._scale != 1)
        if self._scale != 1:
            vectors *= self._scale
        return unit_rows(vectors) if self._unit else vectors

    def pairs(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return self._exact(rows, columns, distances_of_pairs(self._query, self._gallery, rows, columns, self._of_pairs))

    def _exact(self, rows: np.ndarray, columns: np.ndarray, distances: np.ndarray) -> np.ndarray:
        """The distances of pairs without the rounding of cosine distances near 0."""
        if self._unit:
            distances[distances < 2 * _COSINE_NOISE] = 0
            distances[self._no_query[rows] | self._no_image[columns]] = 2
        return distances

    def _of_pairs(self, query: np.ndarray, gallery: np.ndarray) -> np.ndarray:
        differences = self._vectors(query)
        differences -= self._vectors(gallery)
        if self._squared:
            return np.einsum("pd,pd->p", differences, differences)
        return self._distance.of_differences(differences, np).sum(1)

    def tile(self, rows: np.ndarray, columns: slice) -> np.ndarray:
        block = self._vectors(self._query[rows])  # (q, D)
        if not self._squared:
            return sums_over_dimensions(block, self._vectors(self._gallery[columns]), self._distance)
        block -= self._mean
        # The squared lengths are two more columns of the product.
        block = np.column_stack([-2 * block, np.ones(len(block)), self._lengths[rows]]).astype(np.float32)
        distances = block @ self._targets[columns].T
        if self._unit:
            distances[self._no_query[rows]] = 2
            distances[:, self._no_image[columns]] = 2
        return distances

    def slack(self, rows: np.ndarray, distances: np.ndarray) -> np.ndarray:
        if not self._squared:
            return self.same(distances)
        # |g| <= |q| + d bounds the length of gallery images at this distance.
        lengths = self._lengths[rows]
        longest = np.minimum(self._longest, 2 * (lengths + distances))
        return _PRODUCT_ERROR * (lengths + longest) + self.same(distances)

    def same(self, distances: np.ndarray) -> np.ndarray:
        return _ONE * distances + (2 * _COSINE_NOISE if self._unit else 0)

    def in_units(self, distance: Distance) -> Distance:
        values = np.asarray(np.maximum(distance, 0))  # float32 products may be slightly below 0
        if self._squared and not self._unit:
            factor = self._scale**-2  # a power of two
            if not 2.0**-96 < factor < 2.0**96:  # outside the range of float32
                values = values.astype(np.float64)
            values = values * values.dtype.type(factor)
        values = self._distance.of_squared(values, np) if self._squared else values
        return values if isinstance(distance, np.ndarray) else float(values)


def _largest(emb: Rows) -> float:
    """The largest absolute value."""
    return max(float(np.abs(emb[part]).max(initial=0)) for part in blocks(*emb.shape))


def exact_distances(query: np.ndarray, gallery: np.ndarray, metric: str) -> np.ndarray:
    """All distances (Q, G) float64 from embeddings (Q, D) to (G, D), computed from differences of coordinates.

    Raises:
        UserError: for an unknown metric.
    """
    distance, first, second = find_distance(metric), as_vectors(query, metric), as_vectors(gallery, metric)
    if not is_squared(metric):
        return sums_over_dimensions(first, second, distance)
    squared = cdist(first, second, "sqeuclidean")
    if has_unit_length(metric):  # zero vectors have no direction
        squared[first.any(1) == 0] = 2
        squared[:, second.any(1) == 0] = 2
    return distance.of_squared(squared, np)


def sums_over_dimensions(query: np.ndarray, gallery: np.ndarray, distance: ModuleType) -> np.ndarray:
    """Distances (Q, G) float64 from (Q, D) to (G, D), for a distance that is a sum over the dimensions."""
    if hasattr(distance, "CDIST"):
        return cdist(query, gallery, distance.CDIST)
    total = np.zeros((len(query), len(gallery)))
    for a, b in zip(query.T, gallery.T, strict=True):
        total += distance.of_differences(a[:, None] - b[None, :], np)
    return total
