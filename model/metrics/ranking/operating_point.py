"""The operating point of a verification system: who is accepted, when only so many strangers may be.

A pair of a query and a gallery image is accepted when its distance is below a threshold. The false positive rate (FPR)
is the share of accepted pairs among those of different identities, the true positive rate (TPR) that among the matches.
"""

import math
import threading

import numpy as np

from model.metrics.ranking.gallery_distances import Distances

_ROOM = 2**20  # pairs beyond those that are needed


class OperatingPoint:
    """Collects the nearest pairs of different identities, and only those: memory for a share `fpr` of all.

    Tiles give rough distances; the pairs about the threshold are computed exactly in the end.

    Args:
        fpr: highest false positive rate, in (0, 1).
        negatives: the number of pairs of different identities.
        distances: where their distances come from.
    """

    def __init__(self, fpr: float, negatives: int, distances: Distances) -> None:
        self.fpr, self._negatives, self._distances = fpr, negatives, distances
        self._allowed = math.floor(fpr * negatives * (1 + 1e-12))  # so many of them may be accepted
        self._values: list[np.ndarray] = []
        self._pairs: list[np.ndarray] = []
        self._size = 0
        self._bound = np.finfo(np.float64).max
        self._rows = np.arange(distances.shape[0])
        self._crowded = False  # more pairs about the threshold than are worth to be kept
        self._lock = threading.Lock()

    def see(self, tile: np.ndarray, rows: np.ndarray, first: int) -> None:
        """Takes in distances of non-matches; infinite ones are none. May be called from several threads."""
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
        """Keeps what may be among the nearest `allowed` + 1."""
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
        """How far a tile may be off at this distance, for any query."""
        return float(self._distances.slack(self._rows, np.full(len(self._rows), distance)).max())

    def _threshold(self) -> tuple[float, float] | None:
        """The distance of the first non-match that is not accepted, and how far that may be off; None without one."""
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

        Both are the best that the FPR allows: the threshold is the distance of the first non-match that it excludes.
        Without a non-match to exclude, everything is accepted and there is no threshold. Where almost all pairs are
        equally far, it is taken on the safe side.
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
        """What the metrics mean."""
        few = "" if self._allowed else f"; with {self._negatives:,} pairs of different identities, none may be accepted"
        return {
            f"tpr@fpr={self.fpr:g}": "share of matching pairs nearer than the threshold, over all pairs of all queries",
            f"threshold@fpr={self.fpr:g}": f"distance below which at most {self.fpr:g} of the pairs of different "
            f"identities lie (pairs that the excluder leaves out do not count){few}",
        }
