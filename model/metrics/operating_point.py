"""The operating point of a verification system: who is accepted, when only so many strangers may be.

A pair of a query and a gallery image is accepted when its distance is below a threshold. The false positive rate (FPR)
is the share of accepted pairs among those of different identities, the true positive rate (TPR) that among the matches.
"""

import threading

import numpy as np

from model.metrics.gallery_distances import Distances


class OperatingPoint:
    """Collects the smallest distances of non-matches, and only those: memory for a share `fpr` of all pairs.

    Args:
        fpr: highest false positive rate, in (0, 1).
        negatives: the number of non-matching pairs.
    """

    def __init__(self, fpr: float, negatives: int) -> None:
        self.fpr, self._negatives = fpr, negatives
        self._allowed = int(fpr * negatives)  # so many non-matches may be accepted
        self._smallest, self._size = [], 0
        self._bound = np.inf
        self._lock = threading.Lock()

    def see(self, tile: np.ndarray) -> None:
        """Takes in distances of non-matches; infinite ones are none. May be called from several threads."""
        near = tile[tile < self._bound]
        with self._lock:
            self._smallest.append(near)
            self._size += len(near)
            if self._size > 2 * self._allowed + 2**16:
                self._shrink()

    def _shrink(self) -> None:
        distances = np.concatenate(self._smallest) if self._smallest else np.empty(0)
        if len(distances) > self._allowed + 1:
            distances = np.partition(distances, self._allowed)[: self._allowed + 1]
            self._bound = distances.max()
        self._smallest, self._size = [distances], len(distances)

    def figures(self, matches: np.ndarray, distances: Distances) -> dict[str, float]:
        """The TPR over all matches, given their distances (M,), and the threshold in the unit of the metric.

        Both are the best that the FPR allows: the threshold is the distance of the first non-match that it excludes.
        Without a non-match to exclude, everything is accepted and there is no threshold.
        """
        self._shrink()
        name = f"fpr={self.fpr:g}"
        if len(self._smallest[0]) <= self._allowed:
            return {f"tpr@{name}": 1.0}
        threshold = float(self._smallest[0].max())
        accepted = float((matches < threshold).mean())
        return {f"tpr@{name}": accepted, f"threshold@{name}": distances.in_units(threshold)}

    def definitions(self) -> dict[str, str]:
        """What the figures mean."""
        few = "" if self._allowed else f"; with {self._negatives:,} pairs of different identities, none may be accepted"
        return {
            f"tpr@fpr={self.fpr:g}": "share of matching pairs nearer than the threshold, over all pairs of all queries",
            f"threshold@fpr={self.fpr:g}": f"distance below which at most {self.fpr:g} of the pairs of different "
            f"identities lie (pairs that the excluder leaves out do not count){few}",
        }
