"""Small copies of image files of any kind: huge, grey, 16 bits, rotated by EXIF, transparent.

They show what the network sees: upright by the same reading of EXIF, and without the alpha channel. So a transparent
part has the colour that is stored behind it, whatever a viewer shows.
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from dataset.formats.packed import find_packed, read_image
from dataset.loading.inspection import kind_of_file
from dataset.loading.orientation import orientation_of, turned

_QUALITY = 80


def open_small(file: str | Path, side: int) -> Image.Image | None:
    """The image upright in RGB, its longer side at most `side` pixels; None if it cannot be opened."""
    try:
        packed = find_packed(file)
        if not packed and kind_of_file(file):
            return None
        with Image.open(io.BytesIO(read_image(file)) if packed else file) as image:
            image.draft("RGB", (side, side))  # JPEG: decoded at a fraction of its size, never below `side`
            return turned(shrunk(image, side), orientation_of(file))
    except Exception:  # damaged data raises errors of many kinds
        return None


def shrunk(image: Image.Image, side: int) -> Image.Image:
    """The image in RGB, its longer side at most `side` pixels. An alpha channel is dropped."""
    if image.mode.startswith("I"):  # 16 bits: Pillow would clip, not scale
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    image = image.convert("RGB")
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image


def from_pixels(pixels: np.ndarray, side: int) -> Image.Image:
    """Pixels (H, W, C) uint8, C = 1 or 3, as an image, enlarged by the largest whole factor that fits into `side`."""
    height, width = pixels.shape[:2]
    factor = max(1, side // max(height, width))
    image = Image.fromarray(np.ascontiguousarray(np.broadcast_to(pixels, (height, width, 3))))
    return shrunk(image.resize((factor * width, factor * height), Image.Resampling.NEAREST), side)


def as_jpeg(image: Image.Image) -> bytes:
    """An RGB image as a JPEG file."""
    data = io.BytesIO()
    image.save(data, "JPEG", quality=_QUALITY)
    return data.getvalue()
