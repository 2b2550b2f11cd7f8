"""Annotations of ImageNet VID 2015: one XML file per frame, one folder of frames per snippet.

ROOT/Annotations/VID/train/ILSVRC2015_VID_train_0000/ILSVRC2015_train_00000000/000000.xml
ROOT/Annotations/VID/val/ILSVRC2015_val_00000000/000000.xml
ROOT/Data/VID/...                                       the same tree, with .JPEG files
"""

import itertools
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from runtime.errors import UserError
from runtime.input_files import read_bytes

SPLITS = ("train", "val")

MOST_BYTES = 2**20  # of a file; the largest one of ImageNet VID has 20 kB
_MOST_OBJECTS = 1000  # in a frame; ImageNet VID has at most 60
_LONGEST = 300  # characters of a problem, which may quote the file
_LARGEST = 1_000_000  # a larger size, coordinate or track id is an error in the file


class Problem(NamedTuple):
    """Why a file, or an object in it, was skipped. `kind` is a text that all problems of one kind share."""

    file: str
    kind: str
    problem: str

    def __str__(self) -> str:
        return f"{self.file}: {self.problem}"


class _UnusableError(Exception):
    """A frame or an object that cannot be used; the arguments are kind and problem, as in `Problem`."""


@dataclass(frozen=True, slots=True)
class VideoObject:
    """One object in one frame. Its box is in pixels of the frame, and may exceed the frame.

    Attributes:
        trackid: number of the object, the same in all frames of the snippet.
        category: WordNet id, such as n02691156.
        occluded: whether a large part of the object is hidden.
        generated: whether the box was interpolated instead of drawn by a person.
    """

    trackid: int
    category: str
    xmin: float
    ymin: float
    xmax: float
    ymax: float
    occluded: bool
    generated: bool

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(xmin, ymin, xmax, ymax)."""
        return self.xmin, self.ymin, self.xmax, self.ymax


@dataclass(frozen=True, slots=True)
class Frame:
    """One annotated frame.

    Attributes:
        split: train or val.
        folder: path of the snippet below the split, such as ILSVRC2015_VID_train_0000/ILSVRC2015_train_00000000.
        name: file name without suffix, such as 000000.
        width, height: size of the frame in pixels.
        objects: sorted by trackid; empty for a frame without objects.
    """

    split: str
    folder: str
    name: str
    width: int
    height: int
    objects: tuple[VideoObject, ...]

    @property
    def snippet(self) -> str:
        """Name of the snippet, such as ILSVRC2015_train_00000000."""
        return self.folder.rpartition("/")[2]

    def image_file(self, root: Path) -> Path:
        """The frame's picture below the VID root."""
        return Path(root) / "Data" / "VID" / self.split / self.folder / f"{self.name}.JPEG"


@dataclass(frozen=True, slots=True)
class Snippet:
    """One video: its frames in order of their names."""

    split: str
    folder: str
    frames: Sequence[Frame]

    @property
    def name(self) -> str:
        return self.folder.rpartition("/")[2]


def parse_frame(path: Path, split: str = "", folder: str = "") -> tuple[Frame | None, list[Problem]]:
    """The frame in an annotation file, without the objects that cannot be used.

    Returns:
        The frame, and a problem for each skipped object. (None, [problem]) when the frame itself cannot be used:
        malformed XML, a missing or wrong size or name, two objects with one trackid.
    """
    problems: list[Problem] = []
    try:
        tree = _read_xml(path)
        filename = _text(tree, "filename")
        if path.stem not in (filename, Path(filename).stem):  # with or without a suffix
            raise _UnusableError("another frame's name", f"its filename is {filename!r}, the name of another frame")
        width, height = (int(_number(tree, f"size/{side}", minimum=1)) for side in ("width", "height"))
        objects = []
        for element in tree.iterfind("object"):
            try:
                objects.append(_read_object(element))
            except _UnusableError as error:
                problems.append(_problem(path, error))
        objects.sort(key=lambda o: o.trackid)
        for first, second in itertools.pairwise(objects):
            if first.trackid == second.trackid:
                raise _UnusableError("a trackid twice in a frame", f"two objects with trackid {first.trackid}")
    except _UnusableError as error:
        return None, [_problem(path, error)]
    return Frame(split, folder, path.stem, width, height, tuple(objects)), problems


def _problem(path: Path, error: _UnusableError) -> Problem:
    kind, problem = error.args
    return Problem(str(path), kind, problem[:_LONGEST])


def _read_xml(path: Path) -> ElementTree.Element:
    try:
        root = ElementTree.fromstring(read_bytes(path, MOST_BYTES))
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # also for an unknown or a wrong encoding
        raise _UnusableError("malformed XML", f"malformed XML: {error}") from error
    except UserError as error:
        raise _UnusableError("cannot be read", str(error).removeprefix(f"{path}: ")) from error
    if (objects := sum(1 for _ in root.iterfind("object"))) > _MOST_OBJECTS:
        what = f"{objects:,} objects in one frame; at most {_MOST_OBJECTS:,} are read"
        raise _UnusableError("too many objects", what)
    return root


def _read_object(element: ElementTree.Element) -> VideoObject:
    trackid = _number(element, "trackid", minimum=0)
    if trackid != int(trackid):
        raise _UnusableError("unusable trackid", f"trackid is {trackid:g}; it must be a whole number")
    try:
        xmin, ymin, xmax, ymax = (_number(element, f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax"))
        if not (xmin < xmax and ymin < ymax):
            raise _UnusableError("empty box", f"its box is empty: x {xmin:g} to {xmax:g}, y {ymin:g} to {ymax:g}")
        occluded, generated = (_number(element, flag) != 0 for flag in ("occluded", "generated"))
        category = _text(element, "name")
    except _UnusableError as error:
        kind, problem = error.args
        raise _UnusableError(kind, f"trackid {trackid:g}: {problem}") from None
    return VideoObject(int(trackid), category, xmin, ymin, xmax, ymax, occluded, generated)


def _text(element: ElementTree.Element, field: str) -> str:
    text = (element.findtext(field) or "").strip()
    if not text:
        raise _UnusableError(f"no {field.rpartition('/')[2]}", f"{element.tag} without {field}")
    return text


def _number(element: ElementTree.Element, field: str, minimum: int = -_LARGEST) -> float:
    text, kind = _text(element, field), f"unusable {field.rpartition('/')[2]}"
    try:
        value = float(text)
    except ValueError:
        raise _UnusableError(kind, f"{field} is {text!r}; it must be a number") from None
    if not minimum <= value <= _LARGEST:  # NaN fails the comparison
        raise _UnusableError(kind, f"{field} is {value:g}; it must be between {minimum:,} and {_LARGEST:,}")
    return value
