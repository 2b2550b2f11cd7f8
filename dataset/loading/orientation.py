"""EXIF orientation: which way up an image is. One reading for training, embedding and every picture.

Cameras store a photograph as the sensor saw it, and a number 1 .. 8 that says how to turn it. It is in EXIF data
anywhere before a JPEG's first scan, in a PNG's eXIf chunk before or after the pixels, in a PNG's text of EXIF data, or
in XMP data if there is none in EXIF.
"""

from pathlib import Path

from PIL import Image

from dataset.formats.packed import find_packed
from dataset.loading.headers import Header, read_header

_TAG = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def stated_in(header: Header) -> int:
    """The orientation 1 .. 8 that a file's header states; 1 (upright) without any."""
    if not header.metadata:
        return 1
    holder = Image.Image()
    holder.info.update(header.metadata)  # as Pillow keeps what it has read: from here on, Pillow's rules
    return stated_by(holder)


def stated_by(image: Image.Image) -> int:
    """The orientation 1 .. 8 of a Pillow image. A missing or unreadable one is 1, as in image viewers."""
    try:
        value = image.getexif().get(_TAG, 1)
    except Exception:  # damaged metadata raises errors of many kinds
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def orientation_of(file: str | Path) -> int:
    """The orientation of a JPEG or PNG file, as `inspect_files` finds it. Raises an OSError if it cannot be read."""
    if found := find_packed(file):
        return int(found[0].orientations[found[0].place(found[1])])
    with open(file, "rb") as stream:
        return stated_in(read_header(stream))


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """A Pillow image upright."""
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image
