"""Excludes the query image itself, by its path: for a set that is evaluated all against all."""

import numpy as np

from model.metrics.labels import Labels

MEANING = "diagonal (excluded from the gallery: the query image itself)"
JUNK: tuple[str, ...] = ()
CAMERAS = None


def left_out(query: Labels, gallery: Labels) -> np.ndarray:
    """Labels of P pairs -> (P,) bool."""
    return query.paths == gallery.paths
