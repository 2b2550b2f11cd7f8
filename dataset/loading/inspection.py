"""Checks of image files before they are used: existence, format (JPEG or PNG), completeness, and orientation.

Three modes trade time for certainty. `headers` reads the structure: header, metadata and end. `full` also decodes every
image as training does. `off` reads nothing.
"""

import os
import stat
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from dataset.formats.packed import find_packed
from dataset.loading.headers import JPEG_START, PNG_START, read_header
from dataset.loading.orientation import stated_in
from runtime.errors import UserError
from runtime.quiet import blaming_keras_json, quiet

Result = TypeVar("Result")

MODES = ("headers", "full", "off")

_HEAD_BYTES = 4096  # a page

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
            image with TensorFlow, which it loads) or `off` (reads nothing, does not check existence; every orientation
            is 1).

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
        return [inspect_file(file) for file in files[start : start + step]]

    # Threads help with slow files (network, cold disk); slices keep the overhead small.
    threads = 4 * (os.cpu_count() or 1)
    step = max(1, min(256, len(files) // threads))
    with _without_warnings(), ThreadPoolExecutor(threads) as pool:
        seen = (one for part in pool.map(inspect_slice, range(0, len(files), step)) for one in part)
        for index, (orientation, problem) in enumerate(seen):
            orientations[index] = orientation
            if problem:
                problems[index] = problem
    if mode == "full":
        sound = [index for index in range(len(files)) if index not in problems]
        decoded = decode_files([files[index] for index in sound], np.size)
        for index, (problem, _) in zip(sound, decoded, strict=True):
            if problem:
                problems[index] = problem
    return Inspection(orientations, problems)


def decode_files(files: list[str], use: Callable[[np.ndarray], Result]) -> Iterator[tuple[str | None, Result | None]]:
    """As `decoder.decode_files`: decodes files as training does. Loads TensorFlow, quietly, if there are any."""
    if not files:
        return iter(())
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with blaming_keras_json(), quiet(2):
        from dataset.loading import decoder  # this check alone needs TensorFlow, which takes seconds to load

    return decoder.decode_files(files, use)


def inspect_file(file: str) -> tuple[int, str | None]:
    """The EXIF orientation and the problem (None: no problem) of one file, without decoding it."""
    if found := find_packed(file):  # it was checked when it was packed
        pack, path = found
        return int(pack.orientations[pack.place(path)]), None
    try:
        if other := kind_of_file(file):
            return 1, f"this is a {other}, not an image"
        with open(file, "rb", buffering=_HEAD_BYTES) as stream:
            head = stream.read(_HEAD_BYTES)
            if not head:
                return 1, "empty file"
            if not head.startswith((JPEG_START, PNG_START)):
                return 1, f"not a JPEG or PNG{_describe(head)}; convert it to one of them"
            header = read_header(stream)
    except FileNotFoundError:
        return 1, "no such file"
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        return 1, f"cannot be read: {getattr(error, 'strerror', None) or error}"
    return (1, header.problem) if header.problem else (stated_in(header), None)


def kind_of_file(file: str | Path) -> str:
    """What is there instead of a regular file: "folder", "named pipe" ...; "" for a file. Never waits for a pipe."""
    mode = Path(file).stat().st_mode
    kinds = {stat.S_IFDIR: "folder", stat.S_IFIFO: "named pipe", stat.S_IFSOCK: "socket"}
    return "" if stat.S_ISREG(mode) else kinds.get(stat.S_IFMT(mode), "device")


def _describe(head: bytes) -> str:
    """The format of the file for the message, such as ` but a GIF image`; "" if it is not recognised."""
    for offset, signature, name in SIGNATURES:
        if head.startswith(signature, offset):
            return f" but {name}"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<head")):
        return " but an HTML page (a failed download?)"
    return " but an XML or SVG text" if text.startswith((b"<?xml", b"<svg")) else ""


@contextmanager
def _without_warnings() -> Iterator[None]:
    """A context in which Pillow does not warn about odd metadata."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        yield
