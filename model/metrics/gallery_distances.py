"""Distances of queries to a gallery: fast ones in tiles, exact ones for single pairs.

Ranking needs to know which of two distances is smaller, not what they are. So most of the work is a float32 matrix
product, whose error is bounded by `slack`; only the few pairs nearer to each other than that are looked at again in
float64, coordinate by coordinate. The ranking is that of float64, at float32's speed and half its memory.
"""

from typing import Protocol

import numpy as np
from scipy.spatial.distance import cdist

from dataset.errors import UserError

METRICS = ("euclidean", "sqeuclidean", "cityblock", "cosine")

# Of the squared lengths. The error of float32 products about the mean was 14 units at most (D from 8 to 8192, random,
# nearly parallel and with outliers), where a unit is 2^-24.
_PRODUCT_ERROR = 32 * 2.0**-24
_ONE = 1e-12  # exact distances that differ by less than this part are one: float64's rounding of the same distance
_COSINE_NOISE = 1e-14  # what rounding to float32 makes of the cosine distance of parallel vectors
_CHUNK = 2**21  # numbers in a block of gathered coordinates


class Distances(Protocol):
    """Distances between Q queries and G gallery images, in whatever unit orders them.

    `pairs`, `tile` and `slack` may be called from several threads.
    """

    shape: tuple[int, int]

    def pairs(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Exact distances of P pairs: (P,) float64."""

    def tile(self, rows: np.ndarray, columns: slice) -> np.ndarray:
        """Distances (q, g) of some queries to a part of the gallery, float32 or float64; the caller may change it."""

    def slack(self, rows: np.ndarray, distances: np.ndarray) -> np.ndarray:
        """How far `tile` may be off near a distance: (P,) for P queries and exact distances."""

    def same(self, distances: np.ndarray) -> np.ndarray:
        """Distances nearer to these than this are equal: (P,)."""

    def in_units(self, distance: float) -> float:
        """A distance in the unit of the metric."""


class GivenDistances:
    """A matrix of distances (Q, G), as it is: every bit counts."""

    def __init__(self, distances: np.ndarray) -> None:
        if not np.issubdtype(distances.dtype, np.floating):
            distances = distances.astype(np.float64)
        self._distances, self.shape = distances, distances.shape

    def pairs(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return self._distances[rows, columns].astype(np.float64)

    def tile(self, rows: np.ndarray, columns: slice) -> np.ndarray:
        return self._distances[rows, columns]  # rows are an array, so this is a copy

    def slack(self, rows: np.ndarray, distances: np.ndarray) -> np.ndarray:
        return np.zeros(len(distances))

    same = staticmethod(np.zeros_like)

    def in_units(self, distance: float) -> float:
        return distance


class EmbeddingDistances:
    """Distances of embeddings (Q, D) to (G, D), float32 or float64.

    The order is the same for euclidean and sqeuclidean: both are squared here. The cosine distance is 1 - cos, and 1
    for a zero vector.

    Raises:
        UserError: for an unknown metric or embeddings of different sizes.
    """

    def __init__(self, query: np.ndarray, gallery: np.ndarray, metric: str) -> None:
        if metric not in METRICS:
            raise UserError(f"metric {metric!r}: it must be one of {', '.join(METRICS)}")
        if query.shape[1] != gallery.shape[1]:
            sizes = f"{query.shape[1]} and {gallery.shape[1]}"
            raise UserError(f"query and gallery embeddings have {sizes} dimensions; compute both with one model")
        self.metric, self.shape = metric, (len(query), len(gallery))
        self._query, self._gallery = query, gallery
        # A power of two, so that it changes no digit: squares neither overflow nor vanish.
        largest = max(np.abs(query).max(initial=0), np.abs(gallery).max(initial=0))
        self._scale = 2.0 ** -int(np.frexp(largest)[1])
        self._mean = np.zeros(query.shape[1])
        if metric in ("euclidean", "sqeuclidean"):
            # Cancellation in |q|^2 - 2 q.g + |g|^2 grows with the lengths, which are shortest about the mean.
            self._mean = gallery.mean(0, dtype=np.float64) * self._scale
            self._targets, squares = _single(gallery, self._ready, extra=2)
            self._targets[:, -2], self._targets[:, -1] = squares, 1
            self._longest = float(squares.max(initial=0))
            self._lengths = np.concatenate(
                [np.square(self._ready(query[part])).sum(1) for part in _chunks(len(query), query.shape[1])]
            )
        elif metric == "cosine":
            self._targets, _ = _single(gallery, self._ready)

    def _ready(self, vectors: np.ndarray) -> np.ndarray:
        """Float64, scaled, and about the mean or, for cosine, at length 1."""
        vectors = vectors.astype(np.float64) * self._scale
        return unit_rows(vectors) if self.metric == "cosine" else vectors - self._mean

    def pairs(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        distances = np.empty(len(rows))
        for part in _chunks(len(rows), self._query.shape[1]):
            query = self._query[rows[part]].astype(np.float64) * self._scale
            gallery = self._gallery[columns[part]].astype(np.float64) * self._scale
            if self.metric == "cosine":
                cosines = np.einsum("pd,pd->p", unit_rows(query), unit_rows(gallery))
                distances[part] = np.where(1 - cosines < _COSINE_NOISE, 0, 1 - cosines)
                continue
            np.subtract(query, gallery, out=query)
            if self.metric == "cityblock":
                distances[part] = np.abs(query, out=query).sum(1)
            else:
                distances[part] = np.einsum("pd,pd->p", query, query)
        return distances

    def tile(self, rows: np.ndarray, columns: slice) -> np.ndarray:
        block = self._ready(self._query[rows])  # (q, D)
        if self.metric == "cityblock":
            return cdist(block, self._gallery[columns].astype(np.float64) * self._scale, "cityblock")
        targets = self._targets[columns].T
        if self.metric == "cosine":
            distances = block.astype(np.float32) @ targets
            return np.subtract(1, distances, out=distances)
        # The squared lengths ride along as two more columns of the product.
        block = np.column_stack([-2 * block, np.ones(len(block)), self._lengths[rows]]).astype(np.float32)
        return block @ targets

    def slack(self, rows: np.ndarray, distances: np.ndarray) -> np.ndarray:
        if self.metric == "cityblock":
            return self.same(distances)
        if self.metric == "cosine":
            return np.full(len(distances), _PRODUCT_ERROR)
        # |g| <= |q| + d, so the gallery images at this distance are not longer than that.
        lengths = self._lengths[rows]
        longest = np.minimum(self._longest, 2 * (lengths + distances))
        return _PRODUCT_ERROR * (lengths + longest) + self.same(distances)

    def same(self, distances: np.ndarray) -> np.ndarray:
        return _ONE * distances + (_COSINE_NOISE if self.metric == "cosine" else 0)

    def in_units(self, distance: float) -> float:
        distance = max(float(distance), 0.0)
        if self.metric == "euclidean":
            return distance**0.5 / self._scale
        return distance / {"cosine": 1.0, "cityblock": self._scale, "sqeuclidean": self._scale**2}[self.metric]


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Rows divided by their Euclidean norm; zero rows stay."""
    norms = np.sqrt(np.square(vectors).sum(1, keepdims=True))
    return vectors / np.where(norms == 0, 1, norms)


def _single(gallery: np.ndarray, ready, extra: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The gallery made ready, in float32 with columns to spare, and its squared lengths (G,) float64."""
    targets = np.empty((len(gallery), gallery.shape[1] + extra), np.float32)
    squares = np.empty(len(gallery))
    for part in _chunks(len(gallery), gallery.shape[1]):
        vectors = ready(gallery[part])
        targets[part, : gallery.shape[1]] = vectors
        squares[part] = np.square(vectors).sum(1)
    return targets, squares


def _chunks(count: int, width: int) -> list[slice]:
    step = max(1, _CHUNK // width)
    return [slice(start, start + step) for start in range(0, count, step)] or [slice(0, 0)]
