"""Images in Python (paths, Pillow images, arrays), and their pixels. Needs no TensorFlow."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dataset.loading.orientation import stated_by, turned
from runtime.errors import UserError

# The path of a file, a Pillow image, or pixels.
Picture = str | Path | Image.Image | np.ndarray
_MODES = {1: "L", 3: "RGB"}


def is_picture(given: Any) -> bool:
    """Whether this is a single image, not several."""
    if isinstance(given, np.ndarray):
        return given.ndim < 4 and given.dtype.kind not in "UO"  # arrays of names are lists
    return isinstance(given, str | Path | Image.Image)


def as_pictures(given: Any) -> list[Picture]:
    """Images as a list; a single image as a list of one."""
    return [given] if is_picture(given) else list(given)


def pixels_of(picture: Image.Image | np.ndarray, channels: int) -> np.ndarray:
    """The pixels of an upright image: (H, W, channels) uint8.

    16 bits become 8, an alpha channel is dropped, and grey and colour are converted.

    Args:
        picture: a Pillow image (turned by its EXIF orientation), or pixels (H, W), (H, W, 1) or (H, W, 3) uint8.
        channels: 1 or 3.

    Raises:
        UserError: for anything else; the message does not name the image.
    """
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim not in (2, 3) or picture.shape[2:] not in ((), (1,), (3,)):
            what = f"{picture.dtype} of shape {picture.shape}"
            raise UserError(f"pixels are {what}; they must be uint8 (0 .. 255) of shape (H, W), (H, W, 1) or (H, W, 3)")
        if not picture.size:
            raise UserError(f"shape {picture.shape}: the image has no pixels")
        picture = Image.fromarray(picture[..., 0] if picture.shape[2:] == (1,) else picture)
    elif not isinstance(picture, Image.Image):
        raise UserError(
            f"a {type(picture).__name__} is not an image; give a path, a Pillow image, or an array of uint8"
        )
    try:
        picture.load()
    except (OSError, SyntaxError, ValueError) as error:  # Pillow reads the file only now
        raise UserError(f"{getattr(picture, 'filename', '') or 'a Pillow image'}: cannot be read: {error}") from None
    picture = turned(picture, stated_by(picture))
    if picture.mode.startswith("I;16"):
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise UserError(f"a Pillow image of mode {picture.mode} has an unknown range; convert it to 8 bits")
    return np.asarray(picture.convert(_MODES[channels])).reshape(picture.height, picture.width, channels)
