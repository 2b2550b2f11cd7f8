"""What stands for an image in Python, and its pixels as a decoder would give them. Needs no TensorFlow."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from runtime.errors import UserError

# A file's name, a picture of Pillow, or pixels.
Picture = str | Path | Image.Image | np.ndarray
_MODES = {1: "L", 3: "RGB"}


def is_picture(given: Any) -> bool:
    """Whether it is one image; else it is several."""
    if isinstance(given, np.ndarray):
        return given.ndim < 4 and given.dtype.kind not in "UO"  # arrays of names are lists
    return isinstance(given, str | Path | Image.Image)


def as_pictures(given: Any) -> list[Picture]:
    """Images as a list, one of them as a list of one."""
    return [given] if is_picture(given) else list(given)


def pixels_of(picture: Image.Image | np.ndarray, channels: int) -> np.ndarray:
    """(H, W, channels) uint8, upright: 16 bits become 8, an alpha channel is dropped, grey and colour convert.

    Args:
        picture: of Pillow, with its EXIF orientation undone, or pixels (H, W), (H, W, 1) or (H, W, 3) uint8.
        channels: 1 or 3.

    Raises:
        UserError: for anything else; does not name the image.
    """
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim not in (2, 3) or picture.shape[2:] not in ((), (1,), (3,)):
            what = f"{picture.dtype} of shape {picture.shape}"
            raise UserError(f"pixels are {what}; they must be uint8 (0 .. 255) of shape (H, W), (H, W, 1) or (H, W, 3)")
        if not picture.size:
            raise UserError(f"pixels of shape {picture.shape}: an image without pixels")
        picture = Image.fromarray(picture[..., 0] if picture.shape[2:] == (1,) else picture)
    elif not isinstance(picture, Image.Image):
        raise UserError(
            f"a {type(picture).__name__}; it must be a file's name, a picture of Pillow, or an array of uint8"
        )
    try:
        picture = ImageOps.exif_transpose(picture)
    except OSError as error:  # Pillow reads a file when its pixels are wanted
        raise UserError(f"{getattr(picture, 'filename', '') or 'a picture'}: cannot be read: {error}") from None
    if picture.mode.startswith("I;16"):
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise UserError(f"a picture of mode {picture.mode}, whose range is not known; convert it to 8 bits")
    return np.asarray(picture.convert(_MODES[channels])).reshape(picture.height, picture.width, channels)
