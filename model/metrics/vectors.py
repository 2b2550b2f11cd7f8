"""Embeddings as vectors in float64, and the distances of pairs of them. NumPy alone."""

from collections.abc import Callable

import numpy as np

from model.distances import has_unit_length, list_distances
from runtime.errors import UserError

BLOCK = 2**19  # numbers that are converted or compared at a time: 4 MB


def blocks(count: int, width: int) -> list[slice]:
    """Slices of `count` rows of so many numbers; one, if an empty one, at least."""
    step = max(1, BLOCK // max(1, width))
    return [slice(start, start + step) for start in range(0, count, step)] or [slice(0, 0)]


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Rows divided by their Euclidean norm; zero rows stay."""
    largest = np.abs(vectors).max(1, keepdims=True)  # divided by first, for the squares neither overflow nor vanish
    vectors = vectors / np.where(largest == 0, 1, largest)
    norms = np.sqrt(np.square(vectors).sum(1, keepdims=True))
    return np.divide(vectors, np.where(norms == 0, 1, norms), out=vectors)


def as_vectors(emb: np.ndarray, metric: str) -> np.ndarray:
    """Embeddings in float64, divided by their length if the metric wants that (the zero vector stays)."""
    vectors = np.ascontiguousarray(emb, np.float64)
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
        if bad := int((~np.isfinite(vectors).all(1)).sum()):
            raise UserError(f"{bad} of {len(vectors)} {name} embeddings are not finite (NaN or infinite)")
    if query.shape[1] != gallery.shape[1]:
        sizes = f"{query.shape[1]} and {gallery.shape[1]}"
        raise UserError(f"query and gallery embeddings have {sizes} dimensions; compute both with one model")


def squared_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances (P,) of P pairs of vectors (P, D)."""
    return np.square(first - second).sum(1)


def distances_of_pairs(
    query: np.ndarray,
    gallery: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    of: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """Distances of P pairs of rows, (P,) float64, a block at a time.

    Args:
        query, gallery: (Q, D) and (G, D).
        rows, columns: (P,) indices.
        of: the distances (p,) of vectors (p, D) to (p, D), both float64.
    """
    distances = np.empty(len(rows))
    for part in blocks(len(rows), query.shape[1]):
        distances[part] = of(
            query[rows[part]].astype(np.float64, copy=False), gallery[columns[part]].astype(np.float64, copy=False)
        )
    return distances


def centre_and_scale(vectors: np.ndarray) -> tuple[np.ndarray, float]:
    """The mean (D,), and the power of two that makes all numbers about it at most 1.

    About the mean, single precision loses little; a power of two changes no digit.
    """
    mean = vectors.mean(0)
    largest = max(float(np.abs(vectors[part] - mean).max(initial=0)) for part in blocks(*vectors.shape))
    return mean, 2.0 ** -int(np.frexp(largest)[1])


def centred_single(vectors: np.ndarray, mean: np.ndarray, scale: float) -> np.ndarray:
    """The vectors about the mean, scaled, (N, D) float32."""
    single = np.empty(vectors.shape, np.float32)
    for part in blocks(*vectors.shape):
        single[part] = (vectors[part] - mean) * scale
    return single
