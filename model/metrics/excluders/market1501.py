"""The protocol of Market-1501: excludes junk, and images of the query's identity from the query's camera.

Source: Zheng et al., Scalable Person Re-identification: A Benchmark, ICCV 2015, section 4.1, and its published code.
"""

import numpy as np

from model.metrics.labels import Labels

MEANING = "market1501 (excluded from the gallery: the query's identity in the query's camera, and junk, identity -1)"
JUNK = ("-1",)  # detections that show too little of a person
CAMERAS = "market1501"


def left_out(query: Labels, gallery: Labels) -> np.ndarray:
    """Labels of P pairs -> (P,) bool."""
    return (query.identities == gallery.identities) & (query.cameras == gallery.cameras)
