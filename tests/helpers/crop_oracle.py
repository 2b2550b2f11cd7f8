"""Crops in the SiamFC convention, every output pixel sampled in float64."""

import math

import numpy as np
from scipy.ndimage import map_coordinates

WIDTH, HEIGHT = 120, 90  # of the pictures


def oracle(picture: np.ndarray, box: tuple[float, float, float, float], size: int = 255) -> np.ndarray:
    """The SiamFC crop, (size, size, 3) float64: the area is that of the box with 1% context, times (255 / 127)^2."""
    w, h = box[2] - box[0], box[3] - box[1]
    s_z = math.sqrt((w + 0.01 * (w + h)) * (h + 0.01 * (w + h)))
    side = s_z * 255 / 127
    offsets = np.arange(size) * side / (size - 1) - side / 2
    y, x = np.meshgrid((box[1] + box[3]) / 2 + offsets, (box[0] + box[2]) / 2 + offsets, indexing="ij")
    channels = []
    for channel in range(3):
        # The outside is the rounded mean; a border of it makes the blending at the edge a plain interpolation.
        colour = np.rint(picture[..., channel].mean())
        padded = np.pad(picture[..., channel].astype(float), 300, constant_values=colour)
        channels.append(map_coordinates(padded, [y + 300, x + 300], order=1, mode="nearest"))
    return np.stack(channels, axis=-1)


BOXES = {
    "inside": (40, 30, 70, 60),
    "odd": (40.5, 31, 53, 66),
    "tiny": (60, 40, 62, 43),
    "left": (-6, 30, 20, 60),
    "right": (105, 30, 125, 55),
    "top": (50, -4, 80, 18),
    "bottom": (50, 75, 80, 89),
    "corner": (0, 0, 25, 30),
    "larger": (-20, -30, 140, 120),
    "whole": (0, 0, 119, 89),
    "flat": (10, 44, 110, 47),
    "far": (200, 200, 220, 215),
}
