"""One snippet's pictures with their annotations, from any two folders: DIR/000000.JPEG and DIR/000000.xml."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from dataset.errors import UserError
from dataset.inspection import inspect_files
from dataset.vid.annotations import AnnotationError, Frame, parse_frame

PICTURES = (".jpeg", ".jpg", ".png")


@dataclass(frozen=True, slots=True)
class AnnotatedFrame:
    """A frame's picture and its annotation, which agree on the size."""

    picture: Path
    frame: Frame


def read_annotated_frames(
    pictures: Path, annotations: Path, *, every: int = 1, skip_occluded: bool = False
) -> tuple[list[AnnotatedFrame], list[str]]:
    """The frames that have a picture and an annotation, in order; numbers in names count as numbers (2 before 10).

    Args:
        pictures: folder of .JPEG, .jpg or .png files.
        annotations: folder of .xml files with the same names.
        every: take every Nth of the frames that have both.
        skip_occluded: leave out objects that are marked as occluded.

    Returns:
        The frames, and a line for everything that was left out.

    Raises:
        UserError: when a folder is missing or has no such files, or no frame can be used.
    """
    images = _files(pictures, PICTURES, "pictures (.JPEG, .jpg, .png)")
    texts = _files(annotations, (".xml",), "annotations (.xml)")
    names = sorted(images.keys() & texts.keys(), key=_natural)
    if not names:
        raise UserError(
            f"{pictures} and {annotations} have no frame in common: "
            f"there is {_first(images)}, but {_first(texts)}; names must be equal up to the suffix"
        )
    lines = []
    alone = len(images) - len(names), len(texts) - len(names)
    if any(alone):
        lines.append(f"left out: pictures without annotation: {alone[0]:,}, annotations without picture: {alone[1]:,}")

    names = names[::every]
    broken = inspect_files([str(images[name]) for name in names], "full").problems
    frames, faults = [], []
    for index, name in enumerate(names):
        if index in broken:
            faults.append(f"{images[name]}: {broken[index]}")
            continue
        try:
            frame, problems = parse_frame(texts[name])
        except AnnotationError as error:
            faults.append(str(error))
            continue
        lines += [f"object left out: {problem}" for problem in problems]
        if fault := _size_fault(images[name], frame, frames):
            faults.append(fault)
            continue
        if skip_occluded:
            frame = replace(frame, objects=tuple(o for o in frame.objects if not o.occluded))
        frames.append(AnnotatedFrame(images[name], frame))
    if not frames:
        raise UserError(f"{annotations}: none of the {len(names)} frames can be used; the first: {faults[0]}")
    return frames, lines + [f"frame left out: {fault}" for fault in faults]


def _files(folder: Path, suffixes: tuple[str, ...], what: str) -> dict[str, Path]:
    """The folder's files of some suffixes, in any case, by their names without it."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}; it must hold {what}")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in suffixes and not path.name.startswith("."):
            if path.stem in files:
                raise UserError(f"{folder}: two files for frame {path.stem}: {files[path.stem].name}, {path.name}")
            files[path.stem] = path
    if not files:
        raise UserError(f"{folder}: no {what} in it")
    return files


def _natural(name: str) -> list[str | int]:
    parts = re.split(r"(\d+)", name)  # text and digits in turn
    return [int(part) if i % 2 else part for i, part in enumerate(parts)]


def _first(files: dict[str, Path]) -> str:
    return files[min(files, key=_natural)].name


def _size_fault(picture: Path, frame: Frame, frames: list[AnnotatedFrame]) -> str | None:
    with Image.open(picture) as image:
        size = f"{image.width}x{image.height}"
    annotated = f"{frame.width}x{frame.height}"
    if size != annotated:
        return f"{picture}: the picture is {size}, its annotation says {annotated}"
    if frames and annotated != (first := f"{frames[0].frame.width}x{frames[0].frame.height}"):
        return f"{picture}: the picture is {size}, those before are {first}"
    return None
