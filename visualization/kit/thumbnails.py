"""Small copies of image files of any kind: huge, grey, 16 bits, rotated by EXIF, transparent."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

_QUALITY = 80


def open_small(file: Path, side: int) -> Image.Image | None:
    """The image upright in RGB, its longer side at most `side` pixels; None if it cannot be opened."""
    try:
        with Image.open(file) as image:
            image.draft("RGB", (side, side))  # JPEG: decoded at a fraction of its size, never below `side`
            return shrunk(ImageOps.exif_transpose(image), side)
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError):
        return None


def shrunk(image: Image.Image, side: int) -> Image.Image:
    """The image in RGB, its longer side at most `side` pixels; transparent parts become white."""
    if image.mode.startswith("I"):  # 16 bits: Pillow would clip, not scale
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
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
