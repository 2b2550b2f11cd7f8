"""Checks of image files before they are used: existence, format (JPEG or PNG), completeness, and orientation.

Three modes trade time for certainty. `headers` parses the header and reads the end; it decodes only files that end
suspiciously. `full` decodes every image. `off` reads nothing.
"""

import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile

from runtime.errors import UserError

MODES = ("headers", "full", "off")

HEAD_BYTES, TAIL_BYTES = 4096, 16  # 4096 is a page; EXIF may come after a thumbnail or a colour profile
JPEG_START, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
EXIF_ORIENTATION = 0x0112

# Other formats that are recognised, for the message: offset, bytes there, name.
SIGNATURES = (
    (0, b"GIF8", "a GIF image"),
    (0, b"BM", "a BMP image"),
    (8, b"WEBP", "a WebP image"),
    (0, b"II*\0", "a TIFF image"),
    (0, b"MM\0*", "a TIFF image"),
    (4, b"ftypavi", "an AVIF image"),
    (4, b"ftyphei", "a HEIC image"),
    (4, b"ftypmif1", "a HEIC image"),
    (0, b"\0\0\0\x0cjP", "a JPEG 2000 image"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"version https://git-lfs", "a Git LFS pointer"),
)


@dataclass(frozen=True)
class Inspection:
    """The result of checking N files.

    Attributes:
        orientations: (N,) uint8, the EXIF orientation 1..8 of each file; 1 (upright) if it has none.
        problems: position of a bad file -> what is wrong with it, without its name.
    """

    orientations: np.ndarray
    problems: dict[int, str]


def inspect_files(files: list[str], mode: str = "headers") -> Inspection:
    """Orientations and problems of all files, found by a pool of threads.

    Args:
        files: full paths.
        mode: `headers` (existence, format, end of the file; 13 000 files take about a second), `full` (decodes every
            image) or `off` (reads nothing, does not check existence; every orientation is 1).

    Raises:
        UserError: for another mode. A bad file is not an error here; it is an entry of `problems`.
    """
    if mode not in MODES:
        raise UserError(f"image check {mode!r}: it must be one of {', '.join(MODES)}")
    orientations = np.ones(len(files), np.uint8)
    problems: dict[int, str] = {}
    if mode == "off" or not files:
        return Inspection(orientations, problems)

    def inspect_slice(start: int) -> list[tuple[int, str | None]]:
        return [inspect_file(file, mode == "full") for file in files[start : start + step]]

    # Threads help with slow files (network, cold disk) and with decoding; slices keep the overhead small.
    threads = 4 * (os.cpu_count() or 1)
    step = max(1, min(256, len(files) // threads))
    with strict_decoding(), ThreadPoolExecutor(threads) as pool:
        seen = (one for part in pool.map(inspect_slice, range(0, len(files), step)) for one in part)
        for index, (orientation, problem) in enumerate(seen):
            orientations[index] = orientation
            if problem:
                problems[index] = problem
    return Inspection(orientations, problems)


def inspect_file(file: str, full: bool) -> tuple[int, str | None]:
    """The EXIF orientation and the problem (None: no problem) of one file."""
    try:
        with open(file, "rb", buffering=0) as stream:
            head = stream.read(HEAD_BYTES)
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - TAIL_BYTES))
            tail = stream.read(TAIL_BYTES)
    except FileNotFoundError:
        return 1, "no such file"
    except IsADirectoryError:
        return 1, "this is a folder, not an image"
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        return 1, f"cannot be read: {getattr(error, 'strerror', None) or error}"
    if not head:
        return 1, "empty file"

    jpeg = head.startswith(JPEG_START)
    if not jpeg and not head.startswith(PNG_START):
        return 1, f"not a JPEG or PNG{_describe(head)}; convert it to one of them"
    # Bytes after the end marker are harmless and common: a marker missing at the end does not prove damage.
    suspect = (JPEG_END if jpeg else PNG_END) not in tail
    return _open(file, jpeg, exif=jpeg and b"Exif\0\0" in head, decode=suspect or full, suspect=suspect)


def _describe(head: bytes) -> str:
    """The format of the file for the message, such as ` but a GIF image`; "" if it is not recognised."""
    for offset, signature, name in SIGNATURES:
        if head.startswith(signature, offset):
            return f" but {name}"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<head")):
        return " but an HTML page (a failed download?)"
    return " but an XML or SVG text" if text.startswith((b"<?xml", b"<svg")) else ""


def _open(file: str, jpeg: bool, exif: bool, decode: bool, suspect: bool) -> tuple[int, str | None]:
    """The EXIF orientation and the problem of an image. Parses its header, and with `decode` also its pixels.

    A broken header is an error of the decoder; damage after it usually gives wrong pixels and no error. A missing or
    unreadable orientation counts as 1, as in image viewers.
    """
    try:
        with Image.open(file, formats=("JPEG", "PNG")) as image:
            if decode:
                image.load()
            orientation = _orientation(image) if exif else 1
    except Exception as error:  # damaged data reaches Pillow's decoders as OSError, SyntaxError, struct.error, zlib ...
        reason = str(error) or type(error).__name__
        cut = decode and (suspect or "truncated" in reason.lower())
        return 1, f"truncated or damaged at its end ({reason})" if cut else f"damaged ({reason})"
    # Pillow accepts a PNG that ends before its IEND chunk; TensorFlow's decoder refuses it.
    if suspect and not jpeg and PNG_END not in Path(file).read_bytes():
        return 1, "truncated or damaged at its end (a PNG without its IEND chunk)"
    return orientation, None


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:  # damaged metadata raises as many kinds of errors as damaged pixels
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


@contextmanager
def strict_decoding() -> Iterator[None]:
    """A context in which Pillow refuses truncated images, and does not warn about odd but intact files."""
    tolerant, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = tolerant
