"""Annotations of ImageNet VID 2015: one XML file a frame, one folder of frames a snippet.

ROOT/Annotations/VID/train/ILSVRC2015_VID_train_0000/ILSVRC2015_train_00000000/000000.xml
ROOT/Annotations/VID/val/ILSVRC2015_val_00000000/000000.xml
ROOT/Data/VID/...                                       the same tree with .JPEG files
"""

import itertools
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from runtime.errors import UserError

SPLITS = ("train", "val")

_LONGEST = 300  # characters of a problem: it may quote what is in the file
_LARGEST = 1_000_000  # a size, a coordinate or a track id beyond this is a mistake in the file


class Problem(NamedTuple):
    """Why a file, or an object in it, was left out: `kind` in words that all problems of the kind share."""

    file: str
    kind: str
    problem: str


class AnnotationError(UserError):
    """One annotation file, or one object in it, cannot be used; a caller that walks many may count it and go on.

    Attributes:
        file: the file.
        kind: what is wrong, in words that all errors of the kind share.
        problem: what is wrong with this one. The message is both, `file: problem`.
    """

    def __init__(self, file: Path, kind: str, problem: str = "") -> None:
        self.file, self.kind, self.problem = Path(file), kind, (problem or kind)[:_LONGEST]
        super().__init__(f"{file}: {self.problem}")

    def as_problem(self) -> Problem:
        """The same to be kept and counted."""
        return Problem(str(self.file), self.kind, self.problem)

    def __reduce__(self) -> tuple:
        return AnnotationError, (self.file, self.kind, self.problem)


@dataclass(frozen=True, slots=True)
class VideoObject:
    """One object of one frame. The box is in pixels of the frame and may reach beyond it.

    Attributes:
        trackid: number of the object, the same in all frames of the snippet.
        category: WordNet id, such as n02691156.
        occluded: a good part of the object is hidden.
        generated: the box was interpolated, not drawn by a person.
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


def annotation_files(root: Path, split: str) -> Iterator[Path]:
    """The annotation files of one split, sorted by folder and name, read a folder at a time.

    Raises:
        UserError: when ROOT/Annotations/VID/<split> is no folder.
    """
    top = Path(root) / "Annotations" / "VID" / split
    if not top.is_dir():
        raise UserError(f"{top}: no such folder; give the folder that holds Annotations/VID and Data/VID")
    yield from _xml_files(top)


def _xml_files(folder: Path) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{folder}: cannot be read: {error.strerror or error}") from error
    for entry in entries:
        if entry.is_dir():
            yield from _xml_files(entry)
        elif entry.suffix == ".xml":
            yield entry


def read_frame(root: Path, path: Path) -> Frame:
    """Reads one annotation file that `annotation_files(root, ...)` gave; every object in it must be usable.

    Split, snippet and frame name come from the path, which also leads to the image; the file must agree on its name.

    Raises:
        AnnotationError: naming the file and what is malformed or missing in it.
    """
    split, *folders = Path(path).relative_to(Path(root) / "Annotations" / "VID").parent.parts
    if not folders:
        raise AnnotationError(path, "not in the folder of a snippet")
    frame, problems = parse_frame(path, split, "/".join(folders))
    if problems:
        raise problems[0]
    return frame


def parse_frame(path: Path, split: str = "", folder: str = "") -> tuple[Frame, list[AnnotationError]]:
    """Reads one annotation file, leaving out objects that cannot be used.

    Returns:
        The frame with its usable objects, and an error for each of the others.

    Raises:
        AnnotationError: when the frame itself cannot be used: malformed XML, a size or name that is missing or wrong,
            two objects of one trackid.
    """
    path = Path(path)
    try:
        tree = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise AnnotationError(path, "malformed XML", f"malformed XML: {error}") from error
    except (ValueError, LookupError) as error:  # an encoding that is unknown, or not the file's
        raise AnnotationError(path, "malformed XML", f"malformed XML: {error}") from error
    except OSError as error:
        raise AnnotationError(path, "cannot be read", f"cannot be read: {error.strerror or error}") from error

    filename = _text(path, tree, "filename")
    if path.stem not in (filename, Path(filename).stem):  # with or without a suffix
        problem = f"its filename is {filename!r}; it belongs to another frame"
        raise AnnotationError(path, "another frame's name", problem)
    width, height = (int(_number(path, tree, f"size/{side}", minimum=1)) for side in ("width", "height"))
    objects, problems = [], []
    for element in tree.iterfind("object"):
        try:
            objects.append(_read_object(path, element))
        except AnnotationError as error:
            problems.append(error)
    objects.sort(key=lambda o: o.trackid)
    for first, second in itertools.pairwise(objects):
        if first.trackid == second.trackid:
            raise AnnotationError(path, "a trackid twice in a frame", f"two objects with trackid {first.trackid}")
    return Frame(split, folder, path.stem, width, height, tuple(objects)), problems


def _read_object(path: Path, element: ElementTree.Element) -> VideoObject:
    trackid = _number(path, element, "trackid", minimum=0)
    if trackid != int(trackid):
        raise AnnotationError(path, "unusable trackid", f"trackid is {trackid:g}; it must be a whole number")
    try:
        return _read_fields(path, element, int(trackid))
    except AnnotationError as error:
        raise AnnotationError(path, error.kind, f"trackid {trackid:g}: {error.problem}") from None


def _read_fields(path: Path, element: ElementTree.Element, trackid: int) -> VideoObject:
    xmin, ymin, xmax, ymax = (_number(path, element, f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax"))
    if not (xmin < xmax and ymin < ymax):
        sides = f"x {xmin:g} to {xmax:g}, y {ymin:g} to {ymax:g}"
        raise AnnotationError(path, "empty box", f"its box is empty: {sides}")
    occluded, generated = (_number(path, element, flag) for flag in ("occluded", "generated"))
    category = _text(path, element, "name")
    return VideoObject(trackid, category, xmin, ymin, xmax, ymax, occluded != 0, generated != 0)


def _text(path: Path, element: ElementTree.Element, field: str) -> str:
    text = (element.findtext(field) or "").strip()
    if not text:
        raise AnnotationError(path, f"no {field.rpartition('/')[2]}", f"{element.tag} without {field}")
    return text


def _number(path: Path, element: ElementTree.Element, field: str, minimum: int = -_LARGEST) -> float:
    text, name = _text(path, element, field), field.rpartition("/")[2]
    try:
        value = float(text)
    except ValueError:
        raise AnnotationError(path, f"unusable {name}", f"{field} is {text!r}; it must be a number") from None
    if not minimum <= value <= _LARGEST:  # NaN fails the comparison
        problem = f"{field} is {value:g}; it must be between {minimum:,} and {_LARGEST:,}"
        raise AnnotationError(path, f"unusable {name}", problem)
    return value


def read_snippets(root: Path, split: str) -> tuple[list[Snippet], list[AnnotationError]]:
    """All snippets of one split in sorted order, and an error for every file left out of them.

    Raises:
        UserError: when there is no annotation file at all.
    """
    frames: dict[str, list[Frame]] = {}
    errors: list[AnnotationError] = []
    for path in annotation_files(root, split):
        try:
            frame = read_frame(root, path)
        except AnnotationError as error:
            errors.append(error)
        else:
            frames.setdefault(frame.folder, []).append(frame)
    if not frames and not errors:
        raise UserError(f"{Path(root) / 'Annotations' / 'VID' / split}: no .xml files in it")
    return [Snippet(split, folder, tuple(members)) for folder, members in frames.items()], errors
