"""Re-ranked distances in the form that ranking takes: computed for a block of queries, looked at in tiles."""

import threading

import numpy as np

from model.metrics.rerank import Reranker


class RerankedDistances:
    """Distances of some queries of a `Reranker` to its gallery; implements `gallery_distances.Distances`.

    Args:
        reranker: of all queries, since they are neighbours of each other.
        queries: (Q',) the numbers of those to be ranked, ascending.
        size: G.
    """

    def __init__(self, reranker: Reranker, queries: np.ndarray, size: int) -> None:
        self._reranker, self._queries, self.shape = reranker, queries, (len(queries), size)
        self._blocks = threading.local()  # of each thread the block it is at

    def _block(self, rows: np.ndarray) -> tuple[np.ndarray, int]:
        """A block (q, G) with these rows in it, and which row is its first."""
        first, last = int(rows.min()), int(rows.max())
        held = getattr(self._blocks, "held", None)
        if held is None or first < held[1] or last >= held[1] + len(held[0]):
            numbers = self._queries[first : last + 1]
            self._blocks.held = held = self._reranker.distances(numbers), first
        return held

    def pairs(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        if not len(rows):
            return np.empty(0)
        block, first = self._block(rows)
        return block[rows - first, columns].astype(np.float64)

    def tile(self, rows: np.ndarray, columns: slice) -> np.ndarray:
        block, first = self._block(rows)
        return block[rows - first, columns]  # rows are an array, so this is a copy

    def slack(self, rows: np.ndarray, distances: np.ndarray) -> np.ndarray:
        return np.zeros(len(distances))

    same = staticmethod(np.zeros_like)

    def in_units(self, distance: float) -> float:
        return float(distance)
