"""Embeddings as vectors in float64, and the distances of pairs. Needs only NumPy."""

from collections.abc import Callable

import numpy as np

from model.distances import has_unit_length, list_distances
from model.metrics.rows import Rows, StoredRows
from runtime.errors import UserError

BLOCK = 2**19  # numbers that are converted or compared together: 4 MB


def blocks(count: int, width: int) -> list[slice]:
    """Slices of `count` rows with `width` numbers each; at least one slice, which may be empty."""
    step = max(1, BLOCK // max(1, width))
    return [slice(start, start + step) for start in range(0, count, step)] or [slice(0, 0)]


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Rows divided by their Euclidean norm; zero rows stay."""
    largest = np.abs(vectors).max(1, keepdims=True)  # dividing by it keeps squares from overflowing or vanishing
    vectors = vectors / np.where(largest == 0, 1, largest)
    norms = np.sqrt(np.square(vectors).sum(1, keepdims=True))
    return np.divide(vectors, np.where(norms == 0, 1, norms), out=vectors)


def as_vectors(emb: np.ndarray, metric: str) -> np.ndarray:
    """Embeddings in float64, divided by their length if the metric asks for that (the zero vector stays)."""
    vectors = np.ascontiguousarray(emb, np.float64)
    return unit_rows(vectors) if has_unit_length(metric) else vectors


def check_vectors(query: np.ndarray, gallery: np.ndarray, metric: str, *, squared: bool = False) -> None:
    """Raises a `UserError` unless both are finite, not empty and of equal dimension, and the metric is known.

    With `squared`, the metric must be a function of the squared Euclidean distance.
    """
    if metric not in list_distances(squared):
        raise UserError(f"metric {metric!r} is not supported here; choose one of {', '.join(list_distances(squared))}")
    for name, vectors in {"query": query, "gallery": gallery}.items():
        if vectors.ndim != 2 or not vectors.size:
            raise UserError(f"{name} embeddings have shape {vectors.shape}; it must be (N, D), with N and D at least 1")
        if bad := int((~np.isfinite(vectors).all(1)).sum()):
            raise UserError(f"{bad} of {len(vectors)} {name} embeddings are NaN or infinite; use an earlier checkpoint")
    if query.shape[1] != gallery.shape[1]:
        sizes = f"{query.shape[1]} and {gallery.shape[1]}"
        raise UserError(f"query and gallery embeddings have {sizes} dimensions; embed both with the same network")


def squared_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances (P,) of P pairs of vectors (P, D)."""
    return np.square(first - second).sum(1)


def distances_of_pairs(
    query: Rows,
    gallery: Rows,
    rows: np.ndarray,
    columns: np.ndarray,
    of: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """Distances of P pairs of rows, (P,) float64, one block at a time.

    Args:
        query, gallery: (Q, D) and (G, D).
        rows, columns: (P,) indices.
        of: computes the distances (p,) from vectors (p, D) to vectors (p, D), both float64.
    """
    distances = np.empty(len(rows))
    for part in blocks(len(rows), query.shape[1]):
        distances[part] = of(
            query[rows[part]].astype(np.float64, copy=False), gallery[columns[part]].astype(np.float64, copy=False)
        )
    return distances


def centre_and_scale(vectors: Rows) -> tuple[np.ndarray, float]:
    """The mean (D,), and a power of two that scales all differences from it to at most 1.

    Float32 is most precise around the mean; a power of two changes no digit.
    """
    if isinstance(vectors, StoredRows):
        mean: np.ndarray = sum(vectors[part].sum(0) for part in blocks(*vectors.shape)) / len(vectors)
    else:
        mean = vectors.mean(0)
    largest = max(float(np.abs(vectors[part] - mean).max(initial=0)) for part in blocks(*vectors.shape))
    return mean, 2.0 ** -int(np.frexp(largest)[1])


def centred_single(vectors: np.ndarray, mean: np.ndarray, scale: float) -> np.ndarray:
    """The vectors minus the mean, scaled: (N, D) float32."""
    single = np.empty(vectors.shape, np.float32)
    for part in blocks(*vectors.shape):
        single[part] = (vectors[part] - mean) * scale
    return single
