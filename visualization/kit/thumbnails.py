"""Image files made small, whatever they are: huge, grey, with 16 bits, turned by EXIF, transparent."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

_QUALITY = 80


def open_small(file: Path, side: int) -> Image.Image | None:
    """An image upright in RGB, its longer side at most `side` pixels; None where it cannot be opened."""
    try:
        with Image.open(file) as image:
            image.draft("RGB", (side, side))  # JPEG: decoded at a fraction of its size, never below this
            return shrunk(ImageOps.exif_transpose(image), side)
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError):
        return None


def shrunk(image: Image.Image, side: int) -> Image.Image:
    """RGB, its longer side at most `side` pixels; what is transparent becomes white."""
    if image.mode.startswith("I"):  # 16 bits: Pillow would cut, not scale
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    image = image.convert("RGB")
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image


def from_pixels(pixels: np.ndarray, side: int) -> Image.Image:
    """(H, W, C) uint8, C = 1 or 3, as an image; where it fits into `side` several times, it is enlarged so often."""
    height, width = pixels.shape[:2]
    factor = max(1, side // max(height, width))
    image = Image.fromarray(np.ascontiguousarray(np.broadcast_to(pixels, (height, width, 3))))
    return shrunk(image.resize((factor * width, factor * height), Image.Resampling.NEAREST), side)


def as_jpeg(image: Image.Image) -> bytes:
    """An RGB image as a JPEG file."""
    data = io.BytesIO()
    image.save(data, "JPEG", quality=_QUALITY)
    return data.getvalue()
