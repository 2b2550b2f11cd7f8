"""Reads all annotation files of an unpacked archive's split, in several processes; each fault is counted."""

import dataclasses
import os
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dataset.vid.annotations import AnnotationError, Frame, Problem, Snippet, VideoObject, parse_frame
from dataset.vid.index import SplitIndex, join, make_index
from dataset.vid.siamfc_crops import TRAIN_FOLDERS
from runtime.errors import UserError
from runtime.parallel import lots, run_parallel

_SNIPPETS_PER_TASK = 4


@dataclass(frozen=True)
class _Lot:
    """Some snippets to read: folders below Annotations/VID/<split>."""

    top: Path
    split: str
    folders: tuple[str, ...]


def index_split(root: Path, split: str, workers: int, progress: Callable[[int, int], None] | None = None) -> SplitIndex:
    """Parses every annotation file of a split.

    A file that cannot be used costs its frame, an object that cannot be used only itself; each is among the index's
    problems. Beside what `parse_frame` finds: objects whose box lies outside their frame, track ids that are of
    another category in most of the snippet, snippets outside the folders that the crops' names are made for, and
    snippets of a name that an earlier one has.

    Args:
        progress: called now and then with (snippets done, snippets in all).

    Raises:
        UserError: when ROOT/Annotations/VID/<split> is no folder, or has no usable annotation.
    """
    top = Path(root) / "Annotations" / "VID" / split
    folders, problems = _snippet_folders(top, split)
    listed = listing(root, split)  # before they are read: what comes meanwhile is noticed next time
    tasks = [_Lot(top, split, lot) for lot in lots(folders, _SNIPPETS_PER_TASK)]
    parts, done = [make_index(split, [], problems)], 0
    if progress and folders:
        progress(0, len(folders))  # the clock starts
    for lot, part in zip(tasks, run_parallel(_read_lot, tasks, workers), strict=True):
        parts.append(part)
        done += len(lot.folders)
        if progress:
            progress(done, len(folders))
    index = join(parts)
    if not index.frame_count:
        first = f"; the first problem: {index.problems[0].file}: {index.problems[0].problem}" if index.problems else ""
        raise UserError(f"{top}: no usable .xml files in it{first}")
    return dataclasses.replace(index, listed=listed)


def listing(root: Path, split: str) -> int:
    """A checksum over the snippet folders of a split and the number of files in each, taken in seconds."""
    top = Path(root) / "Annotations" / "VID" / split
    lines = []
    for folder in _snippet_folders(top, split)[0]:
        try:
            lines.append(f"{folder} {len(_entries(top / folder))}")
        except UserError:
            lines.append(f"{folder} cannot be read")
    return zlib.crc32("\n".join(lines).encode())


def _snippet_folders(top: Path, split: str) -> tuple[list[str], list[Problem]]:
    """The folders of snippets below a split, sorted, and what is not where a snippet can be."""
    if not top.is_dir():
        raise UserError(f"{top}: no such folder; --root is the folder that holds Annotations/VID and Data/VID")
    problems, found = [], []
    parts = [""] if split == "val" else _printable(top, _folders(top), problems)
    for part in parts:
        if part and part not in TRAIN_FOLDERS:
            problems.append(Problem(str(top / part), "unknown folder", f"it is not one of {', '.join(TRAIN_FOLDERS)}"))
            continue
        found += [f"{part}/{name}".lstrip("/") for name in _printable(top / part, _folders(top / part), problems)]
    named: dict[str, str] = {}
    kept = []
    for folder in found:
        name = folder.rpartition("/")[2]
        if named.setdefault(name, folder) == folder:
            kept.append(folder)
        else:
            problem = f"{named[name]} has that name too; identities are <snippet>/<trackid>"
            problems.append(Problem(str(top / folder), "a snippet's name twice", problem))
    return kept, problems


def _printable(folder: Path, names: list[str], problems: list[Problem]) -> list[str]:
    """The names that lists and messages can show; the others become problems, escaped."""
    problems += [
        Problem(f"{folder}/{ascii(name)[1:-1]}", "unprintable name", "its name is not printable UTF-8 text")
        for name in names
        if not name.isprintable()
    ]
    return [name for name in names if name.isprintable()]


def _folders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in _entries(folder) if entry.is_dir())


def _entries(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise UserError(f"{folder}: cannot be read: {error.strerror or error}") from error


def _read_lot(lot: _Lot) -> SplitIndex:
    """Reads some snippets, in a worker process; what comes back is arrays, which are quick to hand over."""
    snippets, problems = [], []
    for folder in lot.folders:
        snippet, found = _read_snippet(lot.top / folder, lot.split, folder)
        problems += found
        if snippet.frames:
            snippets.append(snippet)
    return make_index(lot.split, snippets, problems)


def _read_snippet(path: Path, split: str, folder: str) -> tuple[Snippet, list[Problem]]:
    problems: list[Problem] = []
    frames: list[Frame] = []
    try:
        files = sorted(entry.name for entry in _entries(path) if entry.name.endswith(".xml"))
    except UserError as error:
        problem = Problem(str(path), "folder cannot be read", str(error).removeprefix(f"{path}: "))
        return Snippet(split, folder, frames), [problem]
    if not files:
        problems.append(Problem(str(path), "folder without annotations", "no .xml files in it"))
    for name in _printable(path, files, problems):
        try:
            frame, errors = parse_frame(path / name, split, folder)
        except AnnotationError as error:
            problems.append(error.as_problem())
            continue
        problems += [error.as_problem() for error in errors]
        frames.append(frame)
    return Snippet(split, folder, _usable(path, frames, problems)), problems


def _usable(path: Path, frames: list[Frame], problems: list[Problem]) -> list[Frame]:
    """The frames of a snippet with the objects that agree with their frame and with their track."""
    seen: dict[int, Counter] = {}
    for frame in frames:
        for o in frame.objects:
            seen.setdefault(o.trackid, Counter())[o.category] += 1
    # A track is what most of its frames say, the first of equals: one slip must not cost all the others.
    category_of = {trackid: counts.most_common(1)[0][0] for trackid, counts in seen.items()}
    kept = []
    for frame in frames:
        objects = []
        for o in frame.objects:
            if problem := _unusable(frame, o, category_of[o.trackid]):
                problems.append(Problem(str(path / f"{frame.name}.xml"), *problem))
            else:
                objects.append(o)
        kept.append(dataclasses.replace(frame, objects=tuple(objects)))
    return kept


def _unusable(frame: Frame, o: VideoObject, category: str) -> tuple[str, str] | None:
    """What makes an object unusable beside its own frame or snippet: kind and problem."""
    if o.xmax <= 0 or o.ymax <= 0 or o.xmin >= frame.width or o.ymin >= frame.height:
        box = f"x {o.xmin:g} to {o.xmax:g}, y {o.ymin:g} to {o.ymax:g}"
        where = f"a frame of {frame.width}x{frame.height}"
        return "box outside the image", f"trackid {o.trackid}: its box, {box}, lies outside {where}"
    if o.category != category:
        return "trackid of another category", f"trackid {o.trackid} is {o.category} here, mostly {category}"
    return None
