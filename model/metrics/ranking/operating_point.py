"""The operating point of a verification system: the threshold and true positive rate at a given false positive rate.

A pair of a query and a gallery image is accepted if its distance is below a threshold. The false positive rate (FPR) is
the accepted share of the pairs of different identities. The true positive rate (TPR) is the accepted share of the
matches.
"""

import math
import threading

import numpy as np

from model.metrics.ranking.gallery_distances import Distances

_ROOM = 2**20  # additional pairs that may be kept


class OperatingPoint:
    """Collects the nearest pairs of different identities: only the fraction `fpr` of all pairs needs memory.

    Tiles give approximate distances. At the end, the pairs around the threshold are computed exactly.

    Args:
        fpr: highest false positive rate, in (0, 1).
        negatives: the number of pairs of different identities.
        distances: the source of their distances.
    """

    def __init__(self, fpr: float, negatives: int, distances: Distances) -> None:
        self.fpr, self._negatives, self._distances = fpr, negatives, distances
        self._allowed = math.floor(fpr * negatives * (1 + 1e-12))  # number that may be accepted
        self._values: list[np.ndarray] = []
        self._pairs: list[np.ndarray] = []
        self._size = 0
        self._bound = np.finfo(np.float64).max
        self._rows = np.arange(distances.shape[0])
        self._crowded = False  # too many pairs around the threshold to keep all
        self._lock = threading.Lock()

    def see(self, tile: np.ndarray, rows: np.ndarray, first: int) -> None:
        """Takes a tile of distances of non-matches, infinite for other pairs. Several threads may call it."""
        near = np.flatnonzero(tile <= min(self._bound, np.finfo(tile.dtype).max))
        row, column = np.divmod(near, tile.shape[1])
        pairs = rows[row] * self._distances.shape[1] + column + first
        with self._lock:
            self._values.append(tile.ravel()[near])
            self._pairs.append(pairs)
            self._size += len(near)
            if self._size > 2 * self._allowed + 2**16:
                self._shrink()

    def _shrink(self) -> None:
        """Keeps the pairs that may be among the nearest `allowed` + 1."""
        values = np.concatenate(self._values) if self._values else np.empty(0)
        pairs = np.concatenate(self._pairs) if self._pairs else np.empty(0, np.int64)
        if len(values) > self._allowed + 1:
            order = np.argpartition(values, self._allowed)
            last = float(values[order[self._allowed]])
            slack = self._slack(last)
            near = np.flatnonzero(values <= last + 2 * slack) if slack else order[: self._allowed + 1]
            if len(near) > 2 * self._allowed + _ROOM:
                self._crowded, near = True, order[: self._allowed + 1]
            values, pairs = values[near], pairs[near]
            self._bound = last + (0 if self._crowded else 2 * slack)
        self._values, self._pairs, self._size = [values], [pairs], len(values)

    def _slack(self, distance: float) -> float:
        """Bound for the error of a tile at this distance, for all queries."""
        return float(self._distances.slack(self._rows, np.full(len(self._rows), distance)).max())

    def _threshold(self) -> tuple[float, float] | None:
        """The distance of the first rejected non-match, and a bound for its error; None if none is rejected."""
        self._shrink()
        values, pairs = self._values[0], self._pairs[0]
        if len(values) <= self._allowed:
            return None
        rough = float(np.partition(values, self._allowed)[self._allowed])
        slack = self._slack(rough)
        if not slack or self._crowded:
            return rough, slack
        values = values.astype(np.float64)
        nearer = values < rough - 2 * slack
        about = ~nearer & (values <= rough + 2 * slack)
        exact = np.sort(self._distances.pairs(*np.divmod(pairs[about], self._distances.shape[1])))
        return float(exact[self._allowed - int(nearer.sum())]), 0.0

    def metrics(self, matches: np.ndarray) -> dict[str, float]:
        """The TPR over all matches, given their exact distances (M,), and the threshold in the unit of the metric.

        Both are the best that the FPR allows: the threshold is the distance of the first rejected non-match. If no
        non-match is rejected, all pairs are accepted and there is no threshold. If almost all distances are equal, the
        threshold may be too small, never too large.
        """
        found = self._threshold()
        if found is None:
            return {f"tpr@fpr={self.fpr:g}": 1.0}
        distance, slack = found
        lowest = distance - slack - float(self._distances.same(np.array([distance]))[0])
        accepted = matches < lowest
        return {
            f"tpr@fpr={self.fpr:g}": float(accepted.mean()),
            f"threshold@fpr={self.fpr:g}": self._distances.in_units(distance - slack),
        }

    def definitions(self) -> dict[str, str]:
        """The definitions of the metrics."""
        few = "" if self._allowed else f"; with only {self._negatives:,} such pairs, none may be accepted"
        return {
            f"tpr@fpr={self.fpr:g}": "share of matching pairs nearer than the threshold, over all pairs of all queries",
            f"threshold@fpr={self.fpr:g}": f"distance below which at most {self.fpr:g} of the pairs of different "
            f"identities are (without the pairs that the excluder excludes){few}",
        }
