"""The frames of a snippet with their annotations, from any two folders: DIR/000000.JPEG and DIR/000000.xml."""

import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from dataset.loading.inspection import inspect_files
from dataset.vid.annotations import MOST_BYTES, Frame, parse_frame
from runtime.counting import counted
from runtime.errors import UserError
from runtime.input_files import read_bytes

PICTURES = (".jpeg", ".jpg", ".png")


@dataclass(frozen=True, slots=True)
class AnnotatedFrame:
    """The picture and the annotation of a frame. Both have the same size, and so have all frames of a video."""

    picture: Path
    frame: Frame


def read_annotated_frames(
    pictures: Path, annotations: Path, *, every: int = 1, skip_occluded: bool = False
) -> tuple[list[AnnotatedFrame], list[str]]:
    """The frames that have a picture and an annotation, in order; numbers in names sort as numbers (2 before 10).

    Args:
        pictures: folder of .JPEG, .jpg or .png files.
        annotations: folder of .xml files with the same names.
        every: use every Nth of the frames that have both.
        skip_occluded: exclude objects that are marked as occluded.

    Returns:
        The frames, and lines of text about everything that was skipped.

    Raises:
        UserError: when a folder is missing or has no such files, or no frame can be used.
    """
    images = _files(pictures, PICTURES, "pictures (.JPEG, .jpg, .png)")
    texts = _files(annotations, (".xml",), "annotations (.xml)")
    names = sorted(images.keys() & texts.keys(), key=_natural)
    if not names:
        raise UserError(
            f"{pictures} and {annotations} have no frame in common: the first files are "
            f"{_first(images)} and {_first(texts)}; names must be equal except for the suffix"
        )
    _check_snippet(pictures, texts[names[0]])
    lines = []
    alone = len(images) - len(names), len(texts) - len(names)
    if any(alone):
        without = counted(alone[0], "picture") + " without annotation, " + counted(alone[1], "annotation")
        lines.append(f"skipped {without} without picture")

    names = names[::every]
    broken = inspect_files([str(images[name]) for name in names]).problems
    read, faults = [], []
    for index, name in enumerate(names):
        if index in broken:
            faults.append(f"{images[name]}: {broken[index]}")
            continue
        frame, problems = parse_frame(texts[name])
        if not frame:
            faults.append(str(problems[0]))
            continue
        lines += [f"skipped object: {problem}" for problem in problems]
        if fault := _picture_fault(images[name], frame):
            faults.append(fault)
            continue
        if skip_occluded:
            frame = replace(frame, objects=tuple(o for o in frame.objects if not o.occluded))
        read.append(AnnotatedFrame(images[name], frame))
    if not read:
        raise UserError(f"{annotations}: no frame can be used; the first of {len(names):,}: {faults[0]}")
    (width, height), _ = Counter((f.frame.width, f.frame.height) for f in read).most_common(1)[0]  # the first of equals
    frames = []
    for f in read:
        if (f.frame.width, f.frame.height) == (width, height):
            frames.append(f)
        else:
            size = f"{f.frame.width}x{f.frame.height}"
            faults.append(f"{f.picture}: the picture is {size}, but most are {width}x{height}")
    return frames, lines + [f"skipped frame: {fault}" for fault in faults]


def _files(folder: Path, suffixes: tuple[str, ...], what: str) -> dict[str, Path]:
    """The files of a folder with one of the suffixes, in lower or upper case, by name without suffix."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}; it must have {what}")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in suffixes and not path.name.startswith("."):
            if path.stem in files:
                both = f"{files[path.stem].name} and {path.name}"
                raise UserError(f"{folder}: there are two files for frame {path.stem}, {both}; remove one of them")
            files[path.stem] = path
    if not files:
        raise UserError(f"{folder}: no {what} in it; name another folder")
    return files


def _natural(name: str) -> tuple[list[str | int], str]:
    parts = re.split(r"(\d+)", name)  # text and digits alternate
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name  # the name distinguishes 1 and 01


def _first(files: dict[str, Path]) -> str:
    return files[min(files, key=_natural)].name


def _check_snippet(pictures: Path, text: Path) -> None:
    """Raises a UserError when annotations and pictures are from different snippets of ImageNet VID."""
    try:
        folder = (ElementTree.fromstring(read_bytes(text, MOST_BYTES)).findtext("folder") or "").strip()
    except (ElementTree.ParseError, ValueError, LookupError, UserError):
        return  # reported when the frame is read
    snippet, name = folder.rpartition("/")[2], pictures.resolve().name
    if name.startswith("ILSVRC2015_") and snippet.startswith("ILSVRC2015_") and name != snippet:
        raise UserError(f"{text}: it is of {snippet}, but the pictures are in {name}; give the annotations of {name}")


def _picture_fault(picture: Path, frame: Frame) -> str | None:
    """Why a picture cannot be shown, or None.

    Pillow, which draws it, cannot read it or would make it white, or its size contradicts the annotation.
    """
    try:
        with Image.open(picture) as image:
            size, mode = f"{image.width}x{image.height}", image.mode
            image.load()
    except Exception as error:  # damaged data raises OSError, SyntaxError, struct.error, zlib ...
        return f"{picture}: damaged ({error})"
    if mode.startswith(("I", "F")):
        return f"{picture}: 16 bits per channel; convert it to 8"
    annotated = f"{frame.width}x{frame.height}"
    return None if size == annotated else f"{picture}: the picture is {size}, but its annotation says {annotated}"
