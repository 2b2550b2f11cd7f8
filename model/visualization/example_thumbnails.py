"""Small pictures of image files for a page, where some of the files may be gone or broken."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

SIDE = 112  # pixels of the longer side
_QUALITY = 80


class Thumbnails:
    """Called with a file's number, gives it as a small JPEG, upright; None where it cannot be opened.

    Attributes:
        failed: the files that could not be opened so far.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        self.failed: set[Path] = set()

    def __call__(self, number: int) -> bytes | None:
        file = self._files[number]
        try:
            return thumbnail(file)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # Pillow's ways to refuse a file
            self.failed.add(file)
            return None


def thumbnail(file: Path, side: int = SIDE) -> bytes:
    """An image file as a JPEG with its longer side at most `side` pixels; 16 bits become 8.

    Raises:
        OSError, ValueError, SyntaxError, Image.DecompressionBombError: when Pillow cannot open it.
    """
    with Image.open(file) as image:
        image.draft("RGB", (2 * side, 2 * side))  # a JPEG is then decoded at a fraction of its size
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):  # converted by Pillow, 16 bits would be cut off at 255
            image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
        small = image.convert("RGB")
    small.thumbnail((side, side))
    data = io.BytesIO()
    small.save(data, "JPEG", quality=_QUALITY)
    return data.getvalue()
