"""Crops as in SiamFC (geometry, cutting, file names): the object in the middle, with context, at a fixed size.

Sources: Bertinetto et al., Fully-Convolutional Siamese Networks for Object Tracking, 2016, section 3.1 (curation); and
the `crop_like_SiamFC` code that many trackers use. This module reproduces its sampling grid and border blending.
"""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from dataset.vid.annotations import Frame

Box = tuple[float, float, float, float]  # xmin, ymin, xmax, ymax in pixels

TRAIN_FOLDERS = tuple(f"ILSVRC2015_VID_train_000{i}" for i in range(4))
CROPS = "crops"  # folder in the output folder


@dataclass(frozen=True)
class CropSettings:
    """The settings of crops.

    Attributes:
        context: the margin c of `window`.
        exemplar, search: `search` is the side of a crop in pixels; the box with its margin takes `exemplar` of them.
        quality: JPEG quality, 1 to 100.
        min_box: objects with a side of fewer pixels get no crop.
    """

    context: float = 0.01
    exemplar: int = 127
    search: int = 255
    quality: int = 90
    min_box: float = 0

    def window(self, box: Box) -> Box:
        """The square to cut out around a box: centred on it, with side `s_z * search / exemplar`, in pixels.

        s_z = sqrt((w + c (w + h)) (h + c (w + h))), c = `context`, is the side of a square with the same area as the
        box with its margin.
        """
        xmin, ymin, xmax, ymax = box
        w, h = xmax - xmin, ymax - ymin
        margin = self.context * (w + h)
        half = math.sqrt((w + margin) * (h + margin)) * self.search / self.exemplar / 2
        cx, cy = (xmin + xmax) / 2, (ymin + ymax) / 2
        return cx - half, cy - half, cx + half, cy + half


DEFAULT = CropSettings()


def mean_colour(image: Image.Image) -> tuple[int, int, int]:
    """The mean colour of an RGB image, rounded. It fills the area outside the frame."""
    # A histogram is exact and several times faster than a mean of floats.
    counts = np.array(image.histogram()).reshape(3, 256)
    red, green, blue = np.rint(counts @ np.arange(256) / (image.width * image.height)).astype(int).tolist()
    return red, green, blue


def cut(
    image: Image.Image, window: Box, size: int = DEFAULT.search, colour: tuple[int, int, int] | None = None
) -> Image.Image:
    """A window of an RGB image, resampled to `size` x `size` pixels, bilinear.

    Output pixel i samples the input at x0 + i * s / (size - 1); pixel centres have integer coordinates. So the first
    and the last pixel are on the edges of the window. The area outside the image gets `colour` (None: its mean colour).
    """
    x0, y0, x1, y1 = window
    # Pillow applies the map to i + 0.5 and subtracts 0.5 from the result.
    ax, ay = (x1 - x0) / (size - 1), (y1 - y0) / (size - 1)
    cx, cy = x0 - 0.5 * ax + 0.5, y0 - 0.5 * ay + 0.5
    if is_inside(image, window):
        return image.transform((size, size), Image.Transform.AFFINE, (ax, 0, cx, 0, ay, cy), Image.Resampling.BILINEAR)
    colour = mean_colour(image) if colour is None else colour
    # At the border, Pillow repeats the last pixel, but the reference blends it with the colour outside. A margin of one
    # pixel in that colour makes both equal.
    left, top = max(0, math.floor(x0) - 1), max(0, math.floor(y0) - 1)
    right, bottom = min(image.width, math.ceil(x1) + 2), min(image.height, math.ceil(y1) + 2)
    canvas = Image.new("RGB", (max(1, right - left) + 2, max(1, bottom - top) + 2), colour)
    if right > left and bottom > top:
        canvas.paste(image.crop((left, top, right, bottom)), (1, 1))
    shifted = (ax, 0, cx - left + 1, 0, ay, cy - top + 1)
    return canvas.transform((size, size), Image.Transform.AFFINE, shifted, Image.Resampling.BILINEAR, fillcolor=colour)


def is_inside(image: Image.Image, window: Box) -> bool:
    """Whether every sample of `cut` is between pixels of the image, so no colour is needed outside."""
    x0, y0, x1, y1 = window
    return x0 >= 0 and y0 >= 0 and x1 <= image.width - 1 and y1 <= image.height - 1


def crop_path(frame: Frame, trackid: int, kind: str = "crop.x") -> str:
    """Path of a crop below the output folder, with forward slashes.

    The first folder is a, b, c, d for the training sub-folders ..._0000 to ..._0003, e for val.
    """
    letter = "e" if frame.split == "val" else "abcd"[TRAIN_FOLDERS.index(frame.folder.split("/")[0])]
    return f"{CROPS}/{letter}/{frame.snippet}/{frame.name}.{trackid:02d}.{kind}.jpg"
